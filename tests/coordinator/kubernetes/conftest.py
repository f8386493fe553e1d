"""An API server for a driver: the stand-in, or a real one.

TIDEWATT_KUBECONFIG names the real one's file: an empty cluster with the definitions of tests/crds whole.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import kuberights
from tests.kubeapi import KubeApi, kube_api
from tests.kubeclient import Cluster, kubeconfig
from tests.kubedrivers import (
    ROOM,
    TOKEN,
    node,
)


@pytest.fixture(scope="module", autouse=True)
def nobody_asks_for_what_is_not_listed() -> Iterator[None]:
    """Of what a driver says that it needs."""
    with kuberights.held_against_lists():
        yield


@pytest.fixture
def api() -> Iterator[KubeApi]:
    with kube_api(TOKEN) as found:
        yield found


@pytest.fixture
def cluster(api: KubeApi, tmp_path: Path) -> Iterator[Cluster]:
    real = os.environ.get("TIDEWATT_KUBECONFIG", "")
    found = Cluster(real or kubeconfig(tmp_path, api, TOKEN))
    try:
        for index in range(2):
            found.create("/api/v1/nodes", node(f"n{index}"), ROOM)
        yield found
    finally:
        found.close()
