"""What asks AWS and is no driver asks, all in all, for exactly what its policy allows."""

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import boto3
import pytest
from tests.costing import DAY_MS, OCTOBER_MS
from tests.rights import OTHERS, held_against_lists, seen

from tidewatt_coordinator.config import Config
from tidewatt_coordinator.costs.aws import ask_budgets, ask_cost_explorer, fetch_s3
from tidewatt_coordinator.costs.days import Window
from tidewatt_coordinator.costs.settings import AwsBudgets, CostExplorer, Costs, Focus
from tidewatt_coordinator.doctor.surroundings import cloud as doctor
from tidewatt_coordinator.steering.queue import Interruptions
from tidewatt_coordinator.steering.settings import Dispatch, Spot


def filled(cloud: str) -> str:
    """An export in a bucket, a budget, and a message that is no event; returns the queue's URL."""
    s3, sqs = (boto3.client(name, region_name="us-east-1", endpoint_url=cloud) for name in ("s3", "sqs"))
    with contextlib.closing(s3), contextlib.closing(sqs):
        s3.create_bucket(Bucket="exports")
        s3.put_object(Bucket="exports", Key="focus/october.csv", Body=b"x")
        queue = str(sqs.create_queue(QueueName="spot")["QueueUrl"])
        sqs.send_message(QueueUrl=queue, MessageBody="no event")
        return queue


def test_each_asks_for_what_its_policy_allows_and_for_nothing_else(cloud: str, tmp_path: Path) -> None:
    queue = filled(cloud)
    dispatch = Dispatch(spot=Spot(queue=queue, endpoint=cloud))
    nobody: Any = None  # a message that is no event is asked of nobody
    with held_against_lists() as asked:
        window = Window(OCTOBER_MS, OCTOBER_MS + DAY_MS)
        ask_cost_explorer(CostExplorer(enabled=True, endpoint=cloud), window, lambda: None)
        ask_budgets(AwsBudgets(enabled=True, endpoint=cloud), OCTOBER_MS)
        assert fetch_s3(Focus(endpoint=cloud), "s3://exports/focus/", tmp_path) == 1
        assert asyncio.run(Interruptions(dispatch, nobody, nobody, nobody).look(0)) == 1
    assert asked == {name: seen()[name] for name in OTHERS.values() if name != "doctor"}


def test_the_doctor_asks_for_what_everybody_has(cloud: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", cloud)
    config = Config(costs=Costs(cost_explorer=CostExplorer(enabled=True)))
    with held_against_lists() as asked:
        (found,) = doctor(config)
    assert found.level != "error", found
    assert asked == {}
