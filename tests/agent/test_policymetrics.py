"""The policy on the metrics page and in `tidewatt-agent status`."""

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.registry import Collector
from tests.sealing import FLEETS_KEY, sealed_rules

from tidewatt_agent.foresight import Foresight
from tidewatt_agent.models import Models
from tidewatt_agent.policies import Policies
from tidewatt_agent.policymetrics import policy_families
from tidewatt_agent.status import parse, sentences, summarise
from tidewatt_wire.messages import Rollout, Wave


def page(policies: Policies, now_ms: int) -> str:
    models = Models("f", None, policies, Foresight("", "UTC", ""))

    class Families(Collector):
        def collect(self):  # type: ignore[no-untyped-def] # noqa: ANN202
            return policy_families(policies, models, lambda: now_ms)

    registry = CollectorRegistry()
    registry.register(Families())
    return generate_latest(registry).decode()


def said(policies: Policies, now_ms: int) -> str:
    status = summarise(parse(page(policies, now_ms)), "enforce")
    return (
        next(line for line in sentences(status) if line.startswith("policy")).removeprefix("policy").strip()
    )


async def test_what_is_shown_from_the_first_set_to_the_last() -> None:
    policies = Policies("f", "dev", {}, [FLEETS_KEY.trusted])
    assert said(policies, 0) == "the built-in one"
    await policies.offer(b"junk", 0)
    assert said(policies, 0) == "the built-in one; revision 0 was refused: malformed, see the journal"
    assert 'tidewatt_policy_refusals_total{code="malformed"} 1.0' in page(policies, 0)

    new = Rollout(id="spring", rules=[], waves=[Wave(percent=100)])
    await policies.offer(sealed_rules(3, rollout=new, not_after_ms=61_000), 0)
    assert said(policies, 1000) == "revision 3, for 60 s more; rollout spring holds here"
    shown = page(policies, 1000)
    assert "tidewatt_policy_revision 3.0" in shown
    assert "tidewatt_policy_expires_seconds 60.0" in shown
    assert 'tidewatt_policy_rollout_member{rollout="spring"} 1.0' in shown
    assert "tidewatt_policy_refusal_info" not in shown
    assert "tidewatt_model_refusals_total 0.0" in shown

    policies.at(62_000)
    assert said(policies, 62_000).startswith("revision 3, over: the built-in one is in force; rollout spring")
    assert "revision 3 was refused: expired" in said(policies, 62_000)

    waiting = Rollout(id="summer", rules=[], waves=[])
    await policies.offer(sealed_rules(4, rollout=waiting), 0)
    assert said(policies, 0) == "revision 4; rollout summer not here yet"
