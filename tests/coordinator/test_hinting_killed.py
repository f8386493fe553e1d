"""A coordinator that is killed between any two of its words: boards are awake, or wake by their alarms."""

import random

import pytest
from tests.coordinator.test_hinting_sleep import RESUME_S, Night

from tidewatt_agent.actuator.nap import SHORTEST_NAP_S
from tidewatt_agent.sleeping.judge import lead_s, nap_s
from tidewatt_coordinator.hinting import napping
from tidewatt_coordinator.hinting.rounds import MINUTE_MS, Round
from tidewatt_coordinator.hinting.saying import Said, Saying
from tidewatt_coordinator.hinting.settings import Planning
from tidewatt_wire.messages import Policy, SleepLimits
from tidewatt_wire.sleeping import SleepHint

FLOOR = 2
LIMITS = SleepLimits(longest_nap_s=1800.0, awake_per_site=FLOOR)
HINT_MS = round(1000 * Planning().hint_s)


class Left:
    """Boards that are left alone, with what the broker holds for them and the alarms they have set."""

    def __init__(self, night: "Mortal") -> None:
        self.now_ms, self.site = night.now_ms, night.site
        self.hints, self.until_ms = dict(night.retained), dict(night.until_ms)

    def minute(self) -> list[str]:
        """One minute; who fell asleep in it."""
        self.now_ms += MINUTE_MS
        self.until_ms = {name: at_ms for name, at_ms in self.until_ms.items() if at_ms > self.now_ms}
        fell = []
        for name, hint in self.hints.items():
            for_s = nap_s(Policy(sleep=LIMITS), hint, self.now_ms, lead_s(RESUME_S))
            if name not in self.until_ms and self.now_ms < hint.expires_at_ms and for_s >= SHORTEST_NAP_S:
                self.until_ms[name] = self.now_ms + round(1000 * for_s)
                fell.append(name)
        return fell

    def awake(self, site: str) -> int:
        return sum(where == site and name not in self.until_ms for name, where in self.site.items())


class Mortal(Night):
    """A night whose coordinator may be killed after each of its words: what would be then is looked at."""

    def __init__(self, *names: str, **told: object) -> None:
        self.retained: dict[str, SleepHint] = {}
        self.said, self.deaths, self.naps = Said("f"), 0, 0
        super().__init__(*names, floor=FLOOR, **told)  # type: ignore[arg-type]

    def follow(self, made: Round) -> None:
        self.killed()
        for saying in self.said.due(made.hints, made.planned, self.now_ms, made.rates):
            self.hear(saying)
            self.said.note(saying)
            self.killed()
        super().follow(made)

    def hear(self, saying: Saying) -> None:
        device = saying.topic.device
        if isinstance(saying.hint, SleepHint):
            self.retained[device] = saying.hint
        elif type(saying.topic).__name__ == "HintTopic":
            self.retained.pop(device, None)

    def killed(self) -> None:
        self.deaths += 1
        left, died_ms = Left(self), self.now_ms
        while left.until_ms or left.now_ms <= died_ms + HINT_MS:
            fell = left.minute()
            self.naps += len(fell)
            assert not fell or left.now_ms < died_ms + HINT_MS, "nobody sleeps by an old hint"
            assert all(at_ms <= left.now_ms + 1000 * LIMITS.longest_nap_s for at_ms in left.until_ms.values())
            for site in set(self.site.values()):
                assert left.awake(site) > FLOOR, f"floor and spare of {site}, {left.now_ms - died_ms} ms on"
            assert left.now_ms <= died_ms + HINT_MS + 1000 * LIMITS.longest_nap_s, "all are awake by then"


@pytest.mark.parametrize("seed", range(12))
def test_killed_after_any_of_its_words_it_leaves_every_board_awake_or_to_its_alarm(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(napping, "TURN_MIN", 10)  # boards take turns often: words for two of them go together
    chance = random.Random(seed)
    night, level = Mortal(*"abcdefgh", sites=("roof", "cellar")), 300.0
    for _ in range(100):
        level = min(1500.0, max(5.0, level * chance.choice([0.6, 0.8, 1.0, 1.1, 1.4])))
        made = night.minutes(1, level)
        if chance.random() < 0.5:
            for name in made.calls & set(night.until_ms):
                night.wake(name)
                night.retained.pop(name, None)
    assert night.deaths > 300
    assert night.naps > 20, "boards that were left did sleep by what they had been told"
