"""Step Functions: advice on state transitions, which standard workflows are billed by.

An express workflow is billed by requests and duration, but runs a step at least once rather than exactly
once, for five minutes at most, and can't wait for a callback: so this is advice for who knows the steps.
"""

import json
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from statistics import fmean
from typing import Any

from tidewatt_coordinator.levers.advice import Advice, Told
from tidewatt_coordinator.levers.aws.client import aws
from tidewatt_coordinator.levers.aws.series import Series, series
from tidewatt_coordinator.levers.driver import Setting
from tidewatt_coordinator.levers.months import DAYS_PER_MONTH, between, exact

#: An express workflow's longest run, its least memory and step of duration.
MOST_MS, LEAST_GB, STEP_MS = 300_000, 0.0625, 100
#: What only standard workflows can: wait for somebody, or for a job's end.
STANDARD_ONLY = (".waitForTaskToken", ".sync", ":activity:")


class StepFunctionsDriver(Advice):
    """See levers/advice.py."""

    name = "step_functions"
    service = "AWS Step Functions"
    calls = ("cloudwatch:GetMetricData", "states:DescribeStateMachine", "states:ListStateMachines")

    def look(self, now_ms: int) -> Iterator[Setting]:
        """Every standard workflow that could be an express one, with its runs."""
        with aws("stepfunctions", self.settings) as states, aws("cloudwatch", self.settings) as watch:
            machines = [one for page in states.pages("ListStateMachines") for one in page["stateMachines"]]
            for machine in machines:
                arn = machine["stateMachineArn"]
                definition = states.call("DescribeStateMachine", stateMachineArn=arn)["definition"]
                if machine["type"] != "STANDARD" or any(word in definition for word in STANDARD_ONLY):
                    continue
                at = (("StateMachineArn", arn),)
                asked = {
                    "runs": Series("AWS/States", "ExecutionsStarted", at),
                    "mean_ms": Series("AWS/States", "ExecutionTime", at, "Average"),
                    "most_ms": Series("AWS/States", "ExecutionTime", at, "Maximum"),
                }
                found = series(watch, asked, now_ms=now_ms, days=self.settings.days)
                count, loops = states_of(json.loads(definition))
                yield self.setting(f"states://{machine['name']}", **found, states=count, loops=loops)

    def advise(self, one: Setting, day: date) -> Iterator[Told]:
        """An express workflow, where runs are short."""
        facts = one.facts
        times = [each for each in facts["mean_ms"] if each]
        if not facts["runs"] or not times or max(facts["most_ms"], default=0.0) >= MOST_MS:
            return
        found = self.price("aws-data", "state-transitions", day)
        runs = fmean(facts["runs"])
        steps = -(-fmean(times) // STEP_MS) * STEP_MS / 1000
        express = runs * float(self.price("aws-data", "express-requests", day).price.marginal())
        express += (
            runs * steps * LEAST_GB * float(self.price("aws-data", "express-duration", day).price.marginal())
        )
        a_state = float(found.price.marginal()) * runs
        # Choices leave states out; maps and retries enter them again.
        entered = (facts["states"] / 2, facts["states"], facts["states"] * (4 if facts["loops"] else 1.5))
        saved = [a_state * count - express for count in entered]
        yield Told(
            what=f"make {one.target} an express workflow, if its steps may run twice",
            saving=between(saved[0], saved[1], saved[2], days=1, currency=found.table.currency),
            spending=exact(a_state * entered[1]) * DAYS_PER_MONTH or Decimal(1),
            evidence=[
                (
                    f"{runs:.0f} runs a day over {facts['states']} states"
                    f"{', some of them in loops' if facts['loops'] else ''}: a run's own count isn't known,"
                    " so the interval is wide"
                ),
                (
                    f"runs took {fmean(times) / 1000:.3g} s, at most {max(facts['most_ms']) / 1000:.3g} s;"
                    f" express ones may take {MOST_MS // 1000} s"
                ),
                "an express workflow runs a step at least once; its type can't be changed: it is made anew",
            ],
            risk="high",
        )


def states_of(definition: dict[str, Any]) -> tuple[int, bool]:
    """How many states a definition has, inner ones with them; whether any can be entered again."""
    count, loops = 0, False
    for state in definition.get("States", {}).values():
        count += 1
        inner = [*state.get("Branches", []), state.get("ItemProcessor") or state.get("Iterator") or {}]
        loops = loops or state.get("Type") == "Map" or "Retry" in state
        for each in inner:
            more, again = states_of(each)
            count, loops = count + more, loops or again
    return count, loops
