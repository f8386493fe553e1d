"""The documents' lines with kubectl, typed at a stand-in of the API server: what is there afterwards, and
what fails when something is missing. No API server of Kubernetes' own can be had from a package.
"""

import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from tests.documents.blocks import ROOT, blocks, commands, documents, is_shell
from tests.kubeclient import kubeconfig
from tests.kubecluster import Cluster, cluster, opened
from tests.kubekinds import POD_MONITOR
from tests.kuberights import Right, seen
from typer.testing import CliRunner

from tidewatt_coordinator.access.first import show_first_key
from tidewatt_coordinator.access.keys import KeyBook
from tidewatt_coordinator.cli import app
from tidewatt_coordinator.keys.folder import KeyFolder
from tidewatt_coordinator.ledger.store import Ledger

TYPED = [one for name in documents() for block in blocks(name) if is_shell(block) for one in commands(block)]
LINES = [one.text for one in TYPED if one.text.startswith("kubectl ")]
NAMESPACES = ("shop", "web", "ingress-nginx", "monitoring")
INSIDE = "/api/v1/namespaces/tidewatt"
DEPLOYMENT = "/apis/apps/v1/namespaces/tidewatt/deployments/tidewatt-coordinator"
BINDING = "/apis/rbac.authorization.k8s.io/v1/namespaces/shop/rolebindings/tidewatt-karpenter"
SETTINGS = '[coordinator]\nlisten = "127.0.0.1:1"\n[policy_keys]\nfolder = "policy-keys"\n'
Shell = Callable[[str], "subprocess.CompletedProcess[str]"]


def shell(folder: Path, api: Cluster) -> Shell:
    """As a person types it, in a folder of his with the repository's `packaging`."""
    folder.mkdir(exist_ok=True)
    (folder / "packaging").symlink_to(ROOT / "packaging")
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(folder),
        "KUBECONFIG": kubeconfig(folder, api, ""),
    }

    def run(line: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["sh", "-c", line], cwd=folder, env=environment, capture_output=True, text=True, check=False,
            timeout=60, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    return run


def prepare(folder: Path) -> None:
    """The files of which the page makes Secrets."""
    for name in ("url", "ca.crt", "tls.crt", "tls.key", "key"):
        (folder / name).write_text(f"the {name}")
    (folder / "coordinator.toml").write_text(SETTINGS)
    keys(folder, "new")


def keys(folder: Path, *words: str) -> str:
    with contextlib.ExitStack() as stack:
        stack.callback(os.chdir, Path.cwd())
        os.chdir(folder)
        done = CliRunner().invoke(app, ["keys", *words, "--config", "coordinator.toml"])
    assert done.exit_code == 0, done.output
    return done.output


def rendered(folder: str) -> list[dict[str, Any]]:
    kubectl = str(Path(sys.executable).parent / "kubectl")
    done = subprocess.run([kubectl, "kustomize", folder], capture_output=True, text=True, check=True)
    return list(YAML(typ="safe").load_all(done.stdout))


class Deployed:
    """A cluster into which every line of the documents was typed, in their order."""

    def __init__(self, api: Cluster, run: Shell, folder: Path) -> None:
        self.api, self.run, self.folder = api, run, folder
        self.said: dict[str, str] = {}
        self.wrong: list[str] = []
        self.first_keys: dict[str, bytes] = {}
        for line in LINES:
            if "kubectl replace" in line:  # the page has somebody rotate before it, and retire
                self.first_keys = opened(api.objects[f"{INSIDE}/secrets/tidewatt-policy-keys"])
                keys(folder, "rotate")
                (first,) = (one.removesuffix(".pem") for one in self.first_keys)
                keys(folder, "retire", first)
            done = run(line)
            self.said[line] = done.stdout
            if done.returncode or done.stderr:
                self.wrong.append(f"{line}\n{done.returncode}: {done.stderr}")

    def starting(self, begins: str) -> str:
        """What the first line that begins so had to say."""
        return next(said for line, said in self.said.items() if line.startswith(begins))


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    folder = tmp_path_factory.mktemp("typed")
    with cluster(POD_MONITOR, namespaces=NAMESPACES) as api:
        printed = io.StringIO()
        with contextlib.closing(Ledger("sqlite://", 300_000)) as ledger:
            show_first_key(KeyBook(ledger.engine, "f"), printed)
        api.log = printed.getvalue()
        run = shell(folder, api)
        prepare(folder)
        yield Deployed(api, run, folder)


def test_every_line_with_kubectl_does_what_it_says(deployed: Deployed) -> None:
    assert deployed.wrong == []
    assert len(LINES) > 10
    assert "successfully rolled out" in deployed.starting("kubectl -n tidewatt rollout status")


def test_all_that_is_rendered_is_there(deployed: Deployed) -> None:
    there = {(one["kind"], one["metadata"]["name"]) for one in deployed.api.objects.values()}
    wanted = {
        (one["kind"], one["metadata"]["name"]) for one in rendered(str(ROOT / "packaging/kubernetes/example"))
    }
    assert len(wanted) > 10
    assert wanted <= there
    shown = deployed.starting("kubectl kustomize")
    assert all(name in shown for _, name in wanted)


def test_every_secret_that_a_manifest_names_was_made_by_a_line(deployed: Deployed) -> None:
    objects = deployed.api.objects
    assert deployed.api.lacking(objects[DEPLOYMENT]) == []
    (monitor,) = (one for one in objects.values() if one["kind"] == "PodMonitor")
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    credentials = endpoint["authorization"]["credentials"]
    assert credentials["key"] in objects[f"{INSIDE}/secrets/{credentials['name']}"]["data"]
    broker = opened(objects[f"{INSIDE}/secrets/tidewatt-broker"])
    assert broker.keys() == {"ca.crt", "tls.crt", "tls.key"}
    assert opened(objects[f"{INSIDE}/secrets/tidewatt-database"]) == {"url": b"the url"}


def test_the_rotated_keys_are_those_of_the_folder(deployed: Deployed) -> None:
    made = opened(deployed.api.objects[f"{INSIDE}/secrets/tidewatt-policy-keys"])
    files = {one.name: one.read_bytes() for one in (deployed.folder / "policy-keys").iterdir()}
    assert made == files
    assert sorted(Path(one).suffix for one in made) == [".pem", ".pub"]
    assert made != deployed.first_keys
    template = deployed.api.objects[DEPLOYMENT]["spec"]["template"]
    assert "kubectl.kubernetes.io/restartedAt" in template["metadata"]["annotations"]


def test_a_pod_tells_devices_to_trust_a_retired_key_no_more(deployed: Deployed, tmp_path: Path) -> None:
    sealed, copied = tmp_path / "sealed", tmp_path / "policy-keys"
    for folder in (sealed, copied):
        folder.mkdir()
    for name, content in opened(deployed.api.objects[f"{INSIDE}/secrets/tidewatt-policy-keys"]).items():
        (sealed / name).write_bytes(content)
    spec = deployed.api.objects[DEPLOYMENT]["spec"]["template"]["spec"]
    (command,) = (one["command"] for one in spec["initContainers"] if one["name"] == "policy-keys")
    here = [word.replace("/run/tidewatt/", f"{tmp_path}/") for word in command]
    subprocess.run(here, check=True)
    told = [one.id for one in KeyFolder(copied).told()]
    assert len(told) == 1
    assert f"{told[0]}.pem" not in deployed.first_keys


def test_the_first_key_is_shown(deployed: Deployed) -> None:
    said = deployed.starting("kubectl -n tidewatt logs")
    assert "    tw_" in said
    assert "tidewatt access key revoke" in said


def test_who_may_ask_may(deployed: Deployed) -> None:
    (policy,) = (one for one in deployed.api.objects.values() if one["kind"] == "NetworkPolicy")
    (rule,) = policy["spec"]["ingress"]
    (source,) = rule["from"]
    wanted = source["namespaceSelector"]["matchLabels"].items()
    may = {
        one["metadata"]["name"]
        for one in deployed.api.objects.values()
        if one["kind"] == "Namespace" and wanted <= one["metadata"]["labels"].items()
    }
    assert may == {"ingress-nginx", "monitoring"}


def test_the_role_is_bound_and_grants_the_driver_all_that_it_was_seen_to_ask_for(deployed: Deployed) -> None:
    objects = deployed.api.objects
    account = {"kind": "ServiceAccount", "name": "tidewatt-coordinator", "namespace": "tidewatt"}
    assert f"{INSIDE}/serviceaccounts/tidewatt-coordinator" in objects
    binding = objects[BINDING]
    assert binding["subjects"] == [account]
    assert DEPLOYMENT in objects
    assert objects[DEPLOYMENT]["spec"]["template"]["spec"]["serviceAccountName"] == account["name"]
    bound = {
        (scope, one["roleRef"]["name"])
        for one in objects.values()
        for scope, kind in (("cluster", "ClusterRoleBinding"), ("namespace", "RoleBinding"))
        if one["kind"] == kind and account in one["subjects"]
    }
    root = "/apis/rbac.authorization.k8s.io/v1/clusterroles"
    assert all(f"{root}/{name}" in objects for _, name in bound), "a role that there is not"
    granted: set[Right] = {
        (scope, verb, f"{group}/{kind}".lstrip("/"))  # type: ignore[misc]
        for scope, name in bound
        for rule in objects[f"{root}/{name}"]["rules"]
        for group in rule["apiGroups"]
        for kind in rule["resources"]
        for verb in rule["verbs"]
    }
    assert seen()["karpenter"] <= granted


def test_the_routers_role_is_bound_where_its_routes_are(deployed: Deployed) -> None:
    root = "/apis/rbac.authorization.k8s.io/v1"
    binding = deployed.api.objects[f"{root}/namespaces/web/rolebindings/tidewatt-router"]
    (account,) = binding["subjects"]
    assert account == {"kind": "ServiceAccount", "name": "tidewatt-router", "namespace": "web"}
    assert f"/api/v1/namespaces/web/serviceaccounts/{account['name']}" in deployed.api.objects
    role = deployed.api.objects[f"{root}/clusterroles/{binding['roleRef']['name']}"]
    assert (deployed.folder / "token").read_text().strip() == "a token of tidewatt-router"
    assert role["rules"] == [
        {"apiGroups": ["gateway.networking.k8s.io"], "resources": ["httproutes"], "verbs": ["get", "patch"]}
    ]


def test_another_version_is_rolled_out_by_applying_the_copy_again(deployed: Deployed) -> None:
    """It keeps what others wrote: the time of the restart stays."""
    before = deployed.api.objects[DEPLOYMENT]
    copied = deployed.folder / "kubernetes"
    shutil.copytree(ROOT / "packaging/kubernetes", copied)
    file = copied / "example/kustomization.yaml"
    file.write_text(re.sub("newTag: .*", "newTag: 9.9.9", file.read_text()))
    done = deployed.run("kubectl apply -k kubernetes/example")
    assert done.returncode == 0, done.stderr
    assert "deployment.apps/tidewatt-coordinator configured" in done.stdout
    done = deployed.run("kubectl -n tidewatt rollout status deployment/tidewatt-coordinator")
    assert "successfully rolled out" in done.stdout
    spec = deployed.api.objects[DEPLOYMENT]["spec"]["template"]["spec"]
    images = {one["image"] for one in spec["containers"] + spec["initContainers"]}
    assert images == {"registry.example/tidewatt-coordinator:9.9.9"}
    assert [one["name"] for one in spec["volumes"]] == [
        one["name"] for one in before["spec"]["template"]["spec"]["volumes"]
    ]
    annotations = deployed.api.objects[DEPLOYMENT]["spec"]["template"]["metadata"]["annotations"]
    assert "kubectl.kubernetes.io/restartedAt" in annotations


def test_a_rollout_that_stalls_fails_and_the_pods_before_stay(deployed: Deployed) -> None:
    def pods() -> set[str]:
        return {path for path in deployed.api.objects if path.startswith(f"{INSIDE}/pods/")}

    before = pods()
    deployed.api.stalls = True
    try:
        restart, status = (
            next(line for line in LINES if line.startswith(f"kubectl -n tidewatt rollout {word}"))
            for word in ("restart", "status")
        )
        assert deployed.run(restart).returncode == 0
        done = deployed.run(status)
    finally:
        deployed.api.stalls = False
    assert done.returncode == 1
    assert "exceeded its progress deadline" in done.stderr
    assert pods() == before


def test_a_secret_that_nobody_made_is_missed(tmp_path: Path) -> None:
    with cluster(POD_MONITOR, namespaces=NAMESPACES) as api:
        run = shell(tmp_path, api)
        prepare(tmp_path)
        for line in LINES:
            if "secret generic tidewatt-broker" in line:
                continue
            done = run(line)
            if line.startswith("kubectl -n tidewatt rollout status"):
                break
        assert done.returncode == 1
        assert api.lacking(api.objects[DEPLOYMENT]) == ["secrets/tidewatt-broker"]
        events = run("kubectl -n tidewatt events --types=Warning")
        assert "not found: secrets/tidewatt-broker" in events.stdout


def test_without_the_prometheus_operator_its_kind_is_unknown(tmp_path: Path) -> None:
    with cluster(namespaces=NAMESPACES) as api:
        run = shell(tmp_path, api)
        assert run(LINES[0]).returncode == 0
        done = run(next(line for line in LINES if line.startswith("kubectl apply -k")))
        assert done.returncode == 1
        assert 'no matches for kind "PodMonitor"' in done.stderr


def test_secrets_go_nowhere_before_the_namespace_is_there(tmp_path: Path) -> None:
    with cluster() as api:
        run = shell(tmp_path, api)
        prepare(tmp_path)
        done = run(next(line for line in LINES if "secret generic" in line))
        assert done.returncode == 1
        assert 'namespaces "tidewatt" not found' in done.stderr


def test_a_kind_of_patch_that_the_stand_in_lacks_is_refused_in_words(deployed: Deployed) -> None:
    done = deployed.run("kubectl -n tidewatt patch deployment tidewatt-coordinator --type=json -p '[]'")
    assert done.returncode != 0
    assert "unknown format: application/json-patch+json" in done.stderr
