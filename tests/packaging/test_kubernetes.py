"""The manifests as kubectl renders them: valid for three minors, confined, configured, no right too many."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
from ruamel.yaml import YAML
from tests.kuberights import Right, listed, seen

from tidewatt_coordinator.configfile import read_config
from tidewatt_coordinator.levers.kubernetes.karpenter import KarpenterDriver
from tidewatt_coordinator.levers.kubernetes.replicas import ReplicasDriver
from tidewatt_coordinator.levers.kubernetes.right_sizing import RightSizingDriver
from tidewatt_coordinator.levers.settings import Levers
from tidewatt_coordinator.web.threshold import FREE

ROOT = Path(__file__).parents[2]
HERE = ROOT / "packaging/kubernetes"
#: The last three minors that there are schemas of.
MINORS = ("1.35", "1.36", "1.37")
#: Devices that docs/sizing.md speaks of, by replicas.
SIZES = {1: 10_000, 3: 100_000, 10: 1_000_000}
OVERLAYS = [f"overlays/replicas-{count}" for count in SIZES]
DRIVERS = (KarpenterDriver, ReplicasDriver, RightSizingDriver)
#: Secrets that somebody else makes, as docs/deploy.md says.
SECRETS = {"tidewatt-database", "tidewatt-broker", "tidewatt-policy-keys", "tidewatt-metrics"}
#: Of definitions that aren't Kubernetes's own.
FOREIGN = {"PodMonitor"}

Document = dict[str, Any]


@cache
def rendered(folder: str) -> tuple[Document, ...]:
    """What `kubectl apply -k` would send."""
    kubectl = shutil.which("kubectl", path=str(Path(sys.executable).parent))
    assert kubectl, "requirements/dev.txt brings it"
    done = subprocess.run([kubectl, "kustomize", HERE / folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return tuple(YAML(typ="safe").load_all(done.stdout))


def named(folder: str, kind: str) -> dict[str, Document]:
    return {one["metadata"]["name"]: one for one in rendered(folder) if one["kind"] == kind}


def pod(folder: str) -> Document:
    template: Document = named(folder, "Deployment")["tidewatt-coordinator"]["spec"]["template"]
    return template


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for one in value.values():
            yield from strings(one)
    elif isinstance(value, list):
        for one in value:
            yield from strings(one)
    elif isinstance(value, str):
        yield value


def test_the_minors_are_the_newest_three() -> None:
    known = dict.fromkeys(one.rpartition(".")[0] for one in kubernetes_validate.utils.all_versions())
    assert tuple(known)[-3:] == MINORS


@pytest.mark.parametrize("minor", MINORS)
def test_every_kind_is_as_its_schema_says(minor: str) -> None:
    """One document of each kind, and every Deployment: each takes a third of a second to judge."""
    documents = {one["kind"]: one for one in rendered("example") if one["kind"] not in FOREIGN}
    deployments = [named(folder, "Deployment")["tidewatt-coordinator"] for folder in OVERLAYS]
    for one in (*documents.values(), *deployments):
        assert kubernetes_validate.validate(one, minor, strict=True) == minor
    for folder in OVERLAYS:
        assert {one["kind"] for one in rendered(folder)} <= documents.keys()


def test_a_field_that_there_is_not_is_found() -> None:
    deployment = named("overlays/replicas-1", "Deployment")["tidewatt-coordinator"]
    wrong = deployment | {"spec": deployment["spec"] | {"replica": 1}}
    with pytest.raises(kubernetes_validate.ValidationError, match="replica"):
        kubernetes_validate.validate(wrong, MINORS[-1], strict=True)


@pytest.mark.parametrize("folder", OVERLAYS)
def test_every_container_is_confined(folder: str) -> None:
    spec = pod(folder)["spec"]
    assert spec["securityContext"]["runAsNonRoot"]
    assert spec["securityContext"]["runAsUser"] == 10001
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    writable = {one["name"] for one in spec["volumes"] if "emptyDir" in one}
    for one in spec["containers"] + spec["initContainers"]:
        assert one["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert "memory" in one["resources"]["limits"]
        assert all(mount["name"] in writable or mount["readOnly"] for mount in one["volumeMounts"])
    assert all("sizeLimit" in one["emptyDir"] for one in spec["volumes"] if "emptyDir" in one)


@pytest.mark.parametrize("folder", ["example", *OVERLAYS])
def test_secrets_are_named_and_never_held(folder: str) -> None:
    assert not named(folder, "Secret")
    told = {word for one in rendered(folder) for word in strings(one)}
    referred = {one["secret"]["secretName"] for one in pod(folder)["spec"]["volumes"] if "secret" in one} | {
        word for word in told if word in SECRETS
    }
    assert referred <= SECRETS
    page = (ROOT / "docs/deploy.md").read_text("utf-8")
    assert all(name in page for name in referred)
    assert not [word for word in told if "PRIVATE KEY" in word]


def test_probes_ask_what_needs_no_key() -> None:
    container = pod("overlays/replicas-1")["spec"]["containers"][0]
    asked = {container[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "liveness", "readiness")}
    assert asked == set(FREE)


@pytest.mark.parametrize("folder", ["example", *OVERLAYS])
def test_the_configuration_is_one_that_the_coordinator_takes(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (config_map,) = named(folder, "ConfigMap").values()
    spec = pod(folder)["spec"]
    container = spec["containers"][0]
    for one in container["env"]:
        monkeypatch.setenv(one["name"], one.get("value", "postgresql+psycopg://tidewatt@db/tidewatt"))
    file = tmp_path / "coordinator.toml"
    file.write_text(config_map["data"]["coordinator.toml"])
    config = read_config(file)
    count = named(folder, "Deployment")["tidewatt-coordinator"]["spec"]["replicas"]
    assert config.coordinator.replicas == ("share" if count > 1 else "all")
    assert config.coordinator.listen == f"0.0.0.0:{container['ports'][0]['containerPort']}"
    mounted = {one["mountPath"] for one in container["volumeMounts"]}
    for path in (
        config.broker.ca,
        config.broker.certificate,
        config.broker.key,
        config.policy_keys.folder + "/x",
    ):
        assert path.rpartition("/")[0] in mounted


@pytest.mark.parametrize("count", SIZES)
def test_each_size_asks_for_the_processors_that_its_fleet_takes(count: int) -> None:
    rows = re.findall(
        r"^\| ([\d,]+) \|(?:[^|]+\|){5} ([\d.]+) \|", (ROOT / "docs/sizing.md").read_text(), re.MULTILINE
    )
    processors = {int(devices.replace(",", "")): float(cores) for devices, cores in rows}[SIZES[count]]
    folder = f"overlays/replicas-{count}"
    deployment = named(folder, "Deployment")["tidewatt-coordinator"]
    asked = deployment["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"]["cpu"]
    assert deployment["spec"]["replicas"] == count
    assert processors <= count * int(asked.removesuffix("m")) / 1000
    assert f"{SIZES[count]:,} devices" in (HERE / folder / "kustomization.yaml").read_text()


def test_what_leaves_the_pod_is_said() -> None:
    (policy,) = named("overlays/replicas-3", "NetworkPolicy").values()
    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    ports = {one["port"] for rule in policy["spec"]["egress"] for one in rule["ports"]}
    assert ports == {53, 443, 5432, 6443, 8883, 9090}
    assert all("from" in rule and rule["ports"] for rule in policy["spec"]["ingress"])


def granted(name: str) -> set[Right]:
    """By one driver's component."""
    roles = named("example", "ClusterRole")
    role = f"tidewatt-{name.replace('_', '-')}"
    found: set[Right] = set()
    for scope, document in (("cluster", roles[role]), ("namespace", roles[f"{role}-workloads"])):
        for rule in document["rules"]:
            assert rule.keys() == {"apiGroups", "resources", "verbs"}
            found |= {
                (scope, verb, f"{group}/{kind}".lstrip("/"))  # type: ignore[misc]
                for group in rule["apiGroups"]
                for kind in rule["resources"]
                for verb in rule["verbs"]
            }
    return found


@pytest.mark.parametrize("driver", DRIVERS, ids=lambda one: one.name)
def test_roles_grant_what_the_driver_was_seen_to_ask_for_and_nothing_else(driver: Any) -> None:
    asked = seen()[driver.name]
    assert granted(driver.name) == asked
    assert {(verb, kind) for _, verb, kind in asked} == listed(driver)
    assert not [right for right in asked if "*" in "".join(right)]


def test_every_role_has_its_driver_and_is_bound_to_the_one_account() -> None:
    names = {one.name for one in DRIVERS}
    assert names == seen().keys()
    assert names == {
        name for name in Levers.__struct_fields__ if hasattr(getattr(Levers(), name), "kubeconfig")
    }
    roles = {f"tidewatt-{name.replace('_', '-')}" for name in names}
    assert named("example", "ClusterRole").keys() == roles | {f"{one}-workloads" for one in roles}
    bindings = named("example", "ClusterRoleBinding").values()
    assert {one["roleRef"]["name"] for one in bindings} == roles
    assert all(
        one["subjects"]
        == [{"kind": "ServiceAccount", "name": "tidewatt-coordinator", "namespace": "tidewatt"}]
        for one in bindings
    )
    assert pod("example")["spec"]["automountServiceAccountToken"] is True
    assert not any(named(folder, "ClusterRole") for folder in OVERLAYS)


def test_nothing_else_asks_an_api_server() -> None:
    """Beside the three drivers only the router does: tests/router/test_gateway.py has its role."""
    paths = re.compile(r"[\"'{]/apis/|/api/v1/(?!query)|/var/run/secrets/kubernetes|kubernetes\.default")
    askers = {
        str(path.relative_to(ROOT).parent)
        for wheel in ("agent", "coordinator", "governor", "router", "wire")
        for path in (ROOT / wheel).glob("tidewatt_*/**/*.py")
        if paths.search(path.read_text("utf-8"))
    }
    assert askers == {
        "coordinator/tidewatt_coordinator/levers/kubernetes",
        "router/tidewatt_router",
        "router/tidewatt_router/proxies",
    }
