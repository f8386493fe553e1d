"""Messages of every released version decode for ever, and today's encode to the golden bytes."""

from pathlib import Path

import msgspec
import pytest
from tests.certified import signed

from tidewatt_wire.codec import decode, encode
from tidewatt_wire.messages import (
    SCHEMA,
    Ack,
    Alert,
    AuditAnchor,
    Birth,
    Certificate,
    ClassWeights,
    CoordinatorState,
    Counters,
    DispatchTable,
    EnergySignal,
    EnergyStep,
    Gauges,
    Message,
    Model,
    OperatingPoint,
    Policy,
    PolicySet,
    Report,
    Rollout,
    Rule,
    TrustedKey,
    Verdict,
    Wave,
    Will,
)
from tidewatt_wire.planned import EnoughAt, PlanHint
from tidewatt_wire.sleeping import Nap, SleepHint, SleepState, WakeOrder

GOLDEN = Path(__file__).parent.parent / "golden"

MESSAGES: dict[str, Message] = {
    "birth": Birth(
        device="roof-3",
        session="5e55",
        epoch="e90c",
        at_ms=1_763_700_000_000,
        version="0.1.0",
        board="orin-nano-super",
        control="observe",
        labels={"site": "berlin"},
        points=[
            OperatingPoint(
                name="15W",
                mode_id=0,
                capacity_rps=220.0,
                idle_watts=4.0,
                joules_per_request=0.036,
                light_p95_ms=22.0,
                queueing=0.3,
            )
        ],
        vendor_default="15W",
    ),
    "birth_with_metrics": Birth(
        device="roof-5",
        session="5e56",
        epoch="e90d",
        at_ms=1_763_700_000_000,
        version="0.1.0",
        board="orin-nano-super",
        control="enforce",
        metrics="[fd00::5]:9750",
    ),
    "report": Report(
        device="roof-3",
        session="5e55",
        epoch="e90c",
        seq=7,
        at_ms=1_763_700_070_000,
        counters=Counters(
            energy_mj=812_345, requests=9_001, violating_ms=0, switches=1, mode_ms={"15W": 70_000}
        ),
        gauges=Gauges(point="15W", watts=11.6, requests_rps=128.6, p95_ms=None, temperature_c=47.5),
        verdict=Verdict(
            point="15W", rule="cheapest", reason="demand 150 rps fits 15W: stay", outcome="unchanged"
        ),
    ),
    "will": Will(device="roof-3", session="5e55", epoch="e90c", cause="lost"),
    "policy_set": PolicySet(
        fleet="berlin",
        revision=12,
        issued_at_ms=1_763_700_000_000,
        rules=[
            Rule(match={"site": "berlin"}, policy=Policy(slo_p95_ms=50.0, allowed_points=["7W", "15W"])),
            Rule(),
        ],
    ),
    "ack": Ack(
        device="roof-3", revision=11, status="refused", at_ms=1_763_700_000_500, reason="older than 12"
    ),
    "policy_set_in_rollout": PolicySet(
        fleet="berlin",
        revision=13,
        issued_at_ms=1_763_700_000_000,
        not_after_ms=1_766_292_000_000,
        rules=[Rule()],
        rollout=Rollout(
            id="leaner",
            rules=[Rule(devices=["roof-3"], policy=Policy(headroom=0.1)), Rule(sites=["berlin"])],
            waves=[Wave(percent=100.0, match={"canary": "yes"}), Wave(percent=5.0)],
        ),
        models=[Model(name="autumn", sha256="ab" * 32, size=440_595, chunks=4)],
        keys=[TrustedKey(id="2026-11", public="A" * 43 + "=")],
    ),
    "coordinator_state": CoordinatorState(
        fleet="berlin", session="c0de", at_ms=1_763_700_000_000, state="online"
    ),
    "audit_anchor": AuditAnchor(fleet="berlin", sequence=4711, sha256="c0de" * 16, at_ms=1_763_700_000_000),
    "energy_signal": EnergySignal(
        fleet="berlin",
        zone="roof",
        issued_at_ms=1_763_700_000_000,
        expires_at_ms=1_763_872_800_000,
        steps=[
            EnergyStep(start_ms=1_763_697_600_000, price=0.8, carbon=1.25),
            EnergyStep(start_ms=1_763_737_200_000, price=1.6),
        ],
    ),
    "sleep_state": SleepState(
        device="roof-3",
        session="5e55",
        at_ms=1_763_700_000_000,
        state="asleep",
        until_ms=1_763_700_900_000,
        expires_at_ms=1_763_700_995_000,
        watts=0.5,
        able=True,
        resume_s=35.0,
        last=Nap(
            began_ms=1_763_690_000_000,
            planned_s=900.0,
            outcome="woke",
            slept_s=899.0,
            late_s=0.0,
            resume_s=31.5,
        ),
    ),
    "sleep_hint": SleepHint(
        fleet="berlin",
        device="roof-3",
        issued_at_ms=1_763_700_000_000,
        expires_at_ms=1_763_700_300_000,
        serve_at_ms=1_763_701_800_000,
        reason="9 of 10 boards carry the p99 until 05:10",
    ),
    "plan_hint": PlanHint(
        fleet="berlin",
        device="roof-3",
        plan=29_395_000,
        issued_at_ms=1_763_700_000_000,
        expires_at_ms=1_763_700_300_000,
        point="15W",
        guarded=True,
        reason="212 rps expected + 3% = 218 rps, carried by 4 at 15W for 230 rps",
    ),
    "plan_hint_enough": PlanHint(
        fleet="berlin",
        device="roof-3",
        plan=29_395_000,
        issued_at_ms=1_763_700_000_000,
        expires_at_ms=1_763_700_300_000,
        point="25W",
        guarded=True,
        enough=[EnoughAt(most_rps=88.5, point="7W"), EnoughAt(most_rps=None, point="15W")],
    ),
    "sleep_state_mac": SleepState(
        device="roof-4",
        session="s9",
        at_ms=1_763_700_000_000,
        state="asleep",
        until_ms=1_763_701_000_000,
        expires_at_ms=1_763_701_100_000,
        able=True,
        mac="48:b0:2d:00:00:01",
    ),
    "sleep_state_signed": signed(
        SleepState(
            device="roof-3",
            session="5e55",
            at_ms=1_763_700_000_000,
            state="asleep",
            until_ms=1_763_700_900_000,
            expires_at_ms=1_763_700_995_000,
            able=True,
        )
    ),
    "wake_order": WakeOrder(
        fleet="berlin",
        device="roof-3",
        neighbour="roof-4",
        mac="48:b0:2d:00:00:01",
        issued_at_ms=1_763_700_000_000,
        expires_at_ms=1_763_700_030_000,
        reason="it has missed its wake time",
    ),
    "alert": Alert(
        fleet="berlin",
        name="budget.cloud.actual-80",
        event="0f" * 16,
        episode=2,
        kind="budget",
        severity="warning",
        state="acknowledged",
        since_ms=1_763_700_000_000,
        at_ms=1_763_700_120_000,
        summary="budget cloud: 812.40 USD of 1000.00 spent in 2025-11 (81 %), 80 % is passed",
        details={"spent": "812.4", "amount": "1000"},
        by="ada",
        note="the trial of the new model",
    ),
    "alert_unwell": Alert(
        fleet="berlin",
        name="unwell.roof-3",
        event="0e" * 16,
        episode=1,
        kind="unwell",
        severity="warning",
        state="firing",
        since_ms=1_763_700_000_000,
        at_ms=1_763_700_000_000,
        summary="roof-3 (site roof) did not wake as it should: the health command says no",
        details={"device": "roof-3", "outcome": "unwell", "site": "roof"},
    ),
    "alert_proposal": Alert(
        fleet="berlin",
        name="proposal.4fe1c2a90b37",
        event="1e" * 16,
        episode=1,
        kind="proposal",
        severity="critical",
        state="firing",
        since_ms=1_763_700_000_000,
        at_ms=1_763_700_000_000,
        summary="route53: check shop every 30 s is being taken back for 61 minutes",
        details={"driver": "route53", "proposal": "4fe1c2a90b37", "target": "shop"},
    ),
    "dispatch_table": DispatchTable(
        fleet="berlin",
        epoch=1_763_700_000_000,
        issued_at_ms=1_763_700_000_000,
        expires_at_ms=1_763_700_120_000,
        weights={"roof-3": 7_000, "roof-4": 3_000},
        reason="demand 180 rps fits the 2 cheapest of 2 backends at 85% full",
    ),
    "dispatch_table_by_class": DispatchTable(
        fleet="berlin",
        epoch=1_763_700_010_000,
        issued_at_ms=1_763_700_010_000,
        expires_at_ms=1_763_700_130_000,
        weights={"roof-3": 9_900, "roof-4": 0},
        reason="demand 180 rps of 1 class",
        classes=[
            ClassWeights(
                name="tight", weights={"roof-3": 9_900, "roof-4": 0}, shed=100, most_in_flight={"roof-3": 12}
            )
        ],
        safe=[ClassWeights(name="tight", weights={"cloud": 1})],
        certificate=Certificate(
            cost_per_hour=1.25,
            bound_per_hour=1.24,
            gap=0.008,
            currency="USD",
            binding="roof is full",
            shadow_per_day={"roof": 0.75},
        ),
    ),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_golden(name: str) -> None:
    golden = (GOLDEN / f"v{SCHEMA}" / f"{name}.json").read_bytes().strip()
    message = MESSAGES[name]
    assert encode(message) == golden
    assert decode(type(message), golden) == message


@pytest.mark.parametrize(
    "file", sorted(GOLDEN.glob("*/*.json")), ids=lambda file: f"{file.parent.name}-{file.stem}"
)
def test_every_version_reads_as_today_with_defaults_for_what_it_did_not_have(file: Path) -> None:
    message = MESSAGES[file.stem]
    schema = file.parent.name.removeprefix("v")
    assert decode(type(message), file.read_bytes()) == msgspec.structs.replace(message, schema=schema)


def test_every_golden_file_is_tested() -> None:
    assert {file.stem for file in (GOLDEN / f"v{SCHEMA}").glob("*.json")} == set(MESSAGES)


@pytest.mark.parametrize(
    "limit",
    [
        {"watts_budget": 0},
        {"derate_at_c": 30},
        {"derate_at_c": 300},
        {"max_over_current_per_min": {"oc9": 1}},
        {"max_over_current_per_min": {"oc3": -1}},
        {"slo_budget": 0},
        {"slo_budget": 1.5},
        {"quiet_hours": [{"start": "25:00", "minutes": 5}]},
        {"quiet_hours": [{"start": "02:00", "minutes": 5}] * 33},
        {"max_switches_per_hour": -1},
        {"max_switches_per_hour": 61},
        {"battery_floor": 1.1},
        {"energy_weight": -0.5},
    ],
)
def test_a_limit_that_makes_no_sense_is_refused(limit: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(msgspec.json.encode(limit), type=Policy)


def test_without_a_word_only_the_heat_is_limited() -> None:
    policy = Policy()
    assert policy.derate_at_c == 95.0
    assert (policy.watts_budget, policy.slo_budget, policy.battery_floor) == (None, None, None)
    assert (policy.max_over_current_per_min, policy.quiet_hours) == ({}, [])
    assert (policy.max_switches_per_hour, policy.energy_weight) == (None, 1.0)
