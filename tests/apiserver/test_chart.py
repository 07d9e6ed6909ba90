"""The chart on a real API server: every manifest is accepted, over older ones too, upgraded and taken away again."""

from __future__ import annotations

import gzip
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from bed_control_plane import ROOT, ControlPlane
from bed_resources import curriculum
from chart import CHART, IMAGES, Object, helm, of_kind, rendered

SYSTEM, RELEASE = "flywheel-system", "flywheel"
MONITORING = Path(__file__).parent / "prometheus-operator/crds.json.gz"
PREVIOUS = ROOT / "tests/e2e/previous/manifests.yaml.gz"
BASE = ROOT / "charts/kustomize/base/operator.yaml"
# Kustomize's and Argo CD's own kinds are not this API server's: test_argocd.py has them.
_OTHERS = re.compile(r"^apiVersion: (kustomize\.config\.k8s|argoproj)\.io/", re.MULTILINE)
EXAMPLES = sorted(
    path
    for path in (ROOT / "examples").rglob("*.yaml")
    if "\nkind: " in (text := path.read_text()) and not _OTHERS.search(text)
)
NAMESPACES = ("review", "translation", "training")
OURS = ("-l", "app.kubernetes.io/part-of=flywheel", "-o", "name")
KINDS = (
    "serviceaccounts,roles,rolebindings,clusterroles,clusterrolebindings,deployments,services,poddisruptionbudgets,"
    "networkpolicies,configmaps"
)


@pytest.fixture(scope="module")
def prepared(plane: ControlPlane) -> Iterator[ControlPlane]:
    """With the namespaces and CRDs that manifests name; what is deleted here is put back for other tests."""
    for name in NAMESPACES:
        plane.kubectl("wait", "--for=delete", f"namespace/{name}", "--timeout=60s")  # of the file before
        plane.kubectl("create", "namespace", name)
        plane.kubectl("label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")
    crds = json.loads(gzip.decompress(MONITORING.read_bytes()))
    names = [f"crd/{crd['metadata']['name']}" for crd in crds]
    plane.kubectl("apply", "--server-side", "-f", "-", stdin="\n---\n".join(json.dumps(crd) for crd in crds))
    plane.kubectl("wait", "--for=condition=Established", *names, "--timeout=30s")
    yield plane
    for name in NAMESPACES:
        plane.kubectl("delete", "namespace", name, "--wait=false")
    plane.kubectl("delete", *names)
    plane.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(ROOT / "crds"), "-f", str(BASE))


@pytest.mark.parametrize(
    "path",
    [BASE, ROOT / "charts/kustomize/namespaced/operator.yaml", ROOT / "tests/unit/charts/everything.yaml", *EXAMPLES],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_every_manifest_is_accepted(prepared: ControlPlane, path: Path) -> None:
    """By the API server's own schemas and rules: an unknown or doubled field is an error."""
    dry_run(prepared, documents(path), *(("-n", "review") if path in EXAMPLES else ()))


@pytest.mark.parametrize("kind", ["ServiceMonitor", "PodMonitor"])
def test_monitoring_is_accepted(prepared: ControlPlane, kind: str) -> None:
    """By Prometheus Operator's own CRDs: monitor, alerts, dashboards, kube-state-metrics."""
    more = ("rules=true", "dashboards=true", "kubeStateMetrics=true", "labels.release=prometheus", f"monitor={kind}")
    objects = rendered(*(f"--set=monitoring.{value}" for value in more), namespace="review")
    assert {kind, "PrometheusRule", "ConfigMap"} <= {entry["kind"] for entry in objects}
    dry_run(prepared, objects)


def dry_run(plane: ControlPlane, objects: list[Object], *where: str) -> None:
    """All of them are accepted, strictly."""
    text = "\n---\n".join(json.dumps(entry) for entry in objects)
    strictly = ("--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict")
    said = plane.kubectl("apply", *strictly, *where, "-f", "-", stdin=text)
    assert said.count("(server dry run)") == len(objects) > 0


def documents(path: Path) -> list[Object]:
    """Objects of a file."""
    return [entry for entry in yaml.safe_load_all(path.read_text()) if entry]


def test_an_unknown_field_is_an_error(prepared: ControlPlane) -> None:
    """Else the test above would show nothing."""
    (service,) = of_kind(documents(BASE), "Service")
    service["spec"]["selectors"] = {}
    said = prepared.kubectl(
        "apply",
        "--server-side",
        "--dry-run=server",
        "--validate=strict",
        "-f",
        "-",
        stdin=json.dumps(service),
        check=False,
    )
    assert "field not declared in schema" in said


def test_the_pod_is_admitted_where_restricted_is_enforced(prepared: ControlPlane) -> None:
    """By Pod Security admission itself, which only looks at pods; a pod on the host's network is not."""
    (deployment,) = of_kind(documents(ROOT / "tests/unit/charts/everything.yaml"), "Deployment")
    spec = deployment["spec"]["template"]["spec"] | {"priorityClassName": ""}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "operator", "namespace": "review"}, "spec": spec}
    create = ("create", "--dry-run=server", "-f", "-")
    assert "pod/operator created" in prepared.kubectl(*create, stdin=json.dumps(pod))
    pod["spec"]["hostNetwork"] = True
    assert 'violates PodSecurity "restricted' in prepared.kubectl(*create, stdin=json.dumps(pod), check=False)


def test_a_life_over_manifests_that_were_there(prepared: ControlPlane, tmp_path: Path) -> None:
    """Plain manifests are adopted, values and CRDs upgraded; uninstalled, the CRDs and the resources are left."""
    plane = prepared

    def install(*options: str, chart: Path = CHART) -> Any:
        env = {"KUBECONFIG": str(plane.admin)}
        return helm("upgrade", "--install", RELEASE, chart, "--namespace", SYSTEM, *IMAGES, *options, **env)

    plane.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(curriculum("training")))
    over = ("apply", "--server-side", "--force-conflicts", "-f", "-")
    plane.kubectl(*over, stdin=gzip.decompress(PREVIOUS.read_bytes()).decode())
    differs = ("diff", "--server-side", "--force-conflicts", "-f", str(ROOT / "crds"))
    assert plane.kubectl(*differs, check=False) != "", "the previous version's CRDs are those of this one"
    before = names(plane)
    refused = install()
    assert refused.returncode != 0 and "exists and cannot be imported into the current release" in refused.stderr
    adopted = install("--take-ownership")
    assert adopted.returncode == 0, adopted.stderr
    assert f"The operator runs in namespace {SYSTEM} and watches all namespaces:" in adopted.stdout
    assert names(plane) == before == {entry_name(entry) for entry in rendered()}
    assert plane.kubectl(*differs, check=False) == "", "adopted, but not upgraded"

    newer = shutil.copytree(CHART, tmp_path / "chart")
    for file in (newer / "files/crds").glob("curricula.yaml"):
        file.write_text(file.read_text().replace("- curr\n", "- curr\n    - lessons\n", 1))
    changed = install("--set=namespaces={translation,training}", "--set=replicas=3", chart=newer)
    assert changed.returncode == 0, changed.stderr
    assert "and watches translation, training:" in changed.stdout
    assert "lessons" in plane.kubectl("get", "crd", "curricula.flywheel.dev", "-o", "jsonpath={.spec.names.shortNames}")
    expected = rendered("--set=namespaces={translation,training}", "--set=replicas=3")
    assert names(plane) == {entry_name(entry) for entry in expected}
    who = f"--as=system:serviceaccount:{SYSTEM}:flywheel-operator"
    for namespace, may in (("translation", "yes"), ("training", "yes"), ("review", "no")):
        said = plane.kubectl("auth", "can-i", "list", "curricula", who, "-n", namespace, check=False)
        assert said.split()[-1] == may, namespace

    gone = helm("uninstall", RELEASE, "--namespace", SYSTEM, KUBECONFIG=str(plane.admin))
    assert gone.returncode == 0, gone.stderr
    assert names(plane) == set()
    crds = set(plane.kubectl("get", "crd", *OURS).split())
    kept = {f"{plural}.flywheel.dev" for plural in ("curricula", "flywheelruns", "adapterdeployments")}
    assert crds == {f"customresourcedefinition.apiextensions.k8s.io/{name}" for name in kept}
    assert plane.kubectl("-n", "training", "get", "curr", "-o", "name").split()
    secrets = plane.kubectl("-n", SYSTEM, "get", "secrets", "-o", "name")
    assert "sh.helm.release" not in secrets


def names(plane: ControlPlane) -> set[str]:
    """Kind, namespace and name of everything of ours, CRDs and the namespace itself apart."""
    found = json.loads(plane.kubectl("get", KINDS, "-A", *OURS[:2], "-o", "json"))["items"]
    return {entry_name(entry) for entry in found}


def entry_name(entry: Object) -> str:
    return "/".join([entry["kind"], entry["metadata"].get("namespace", ""), entry["metadata"]["name"]])
