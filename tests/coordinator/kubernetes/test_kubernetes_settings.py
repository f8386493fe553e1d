"""How the drivers of Kubernetes are set up, and how they find their cluster."""

import json
from pathlib import Path

import pytest
from tests.kubeapi import KubeApi
from tests.kubeclient import kubeconfig
from tests.kubedrivers import (
    TOKEN,
    a_scaled,
)

from tidewatt_coordinator.levers.driver import LeverError
from tidewatt_coordinator.levers.kubernetes.client import kubernetes
from tidewatt_coordinator.levers.kubernetes.settings import (
    Karpenter,
    KubernetesLever,
    Replicas,
    RightSizing,
    wrong_kubernetes,
)
from tidewatt_wire.messages import MaintenanceWindow


def test_settings_that_cannot_work_are_told_in_sentences() -> None:
    window = MaintenanceWindow(start="20:00", minutes=600)
    told = wrong_kubernetes(
        Karpenter(enabled=True, types=["c7g.large"], spot=0.04),
        Replicas(scaled=[a_scaled(least=3, most=2), a_scaled(asleep=[window])]),
        RightSizing(enabled=True),
    )
    assert len(list(told)) == 7


def test_a_cluster_is_found_by_a_file_and_its_commands_token(api: KubeApi, tmp_path: Path) -> None:
    path = Path(kubeconfig(tmp_path, api, ""))
    document = json.loads(path.read_text())
    told = json.dumps({"kind": "ExecCredential", "status": {"token": TOKEN}})
    asked = {"command": "echo", "args": [told], "env": [{"name": "A", "value": "b"}]}
    document["users"] = [{"name": "u", "user": {"exec": asked}}]
    path.write_text(json.dumps(document))
    with kubernetes(KubernetesLever(kubeconfig=str(path)), "karpenter") as asking:
        assert list(asking.items("/api/v1/nodes")) == []
        assert asking.find("/apis/none/v1/things/x") is None
    document["clusters"][0]["cluster"]["insecure-skip-tls-verify"] = True
    path.write_text(json.dumps(document))
    for changed, sentence in (
        ({}, "insecure-skip-tls-verify"),
        ({"current-context": "x"}, "no context is named"),
    ):
        path.write_text(json.dumps(document | changed))
        with (
            pytest.raises(LeverError, match=sentence),
            kubernetes(KubernetesLever(kubeconfig=str(path)), "karpenter"),
        ):
            pass
