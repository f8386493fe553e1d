"""What an agent goes by: the policy, what it learned and foresees, and what others ask of it."""

from tidewatt_agent.config import Config, kept_in
from tidewatt_agent.foresight import Foresight
from tidewatt_agent.models import Models
from tidewatt_agent.planhints import PlanHints
from tidewatt_agent.policies import Policies
from tidewatt_agent.setup import learned, wakes_of
from tidewatt_agent.signals import Signals
from tidewatt_agent.sleeping.hints import Hints
from tidewatt_governor.boards import BoardProfile
from tidewatt_wire.clock import Clock


class Mind:
    """The parts that decisions are made from."""

    def __init__(
        self, config: Config, clock: Clock, policies: Policies, profile: BoardProfile | None
    ) -> None:
        fleet = config.agent.fleet
        self.policies = policies
        self.learning = learned(config, profile)
        self.foresight = Foresight(config.forecast.model, config.forecast.zone, config.state.folder)
        self.models = Models(fleet, kept_in(config, "models"), policies, self.foresight)
        self.signals = Signals(fleet, lambda: policies.policy.tariff_zone)
        self.hints = Hints(fleet, config.device, lambda: policies.trusted)
        self.plans = PlanHints(fleet, config.device, lambda: policies.trusted, clock)
        self.wakes = wakes_of(config, clock, policies)
