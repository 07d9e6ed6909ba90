"""What the commands that change something would change, and who else keeps the object."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from resources import CLAIM, adapter_deployment, digest, flywheel_run, run_spec, stated, taken

from flywheel.api.conditions import Reason
from flywheel.api.flywheelrun import FlywheelRun, FlywheelRunSpec
from flywheel.cli.changing import (
    Turn,
    approved,
    fragment,
    kubectl_line,
    owner_of,
    promoted,
    rolled_back,
    turned,
)
from flywheel.cli.errors import CommandError

STEP = {"name": "train", "attempt": 1, "digest": digest("step")}


def candidate(name: str, iteration: int = 1) -> FlywheelRun:
    """A run with a candidate for the deployment `severity`."""
    steps = {"train": STEP, "validated": STEP, "test": STEP}
    status = {
        "candidate": {"iteration": iteration, "digest": digest(name), **steps},
        "workspace": CLAIM.to_json_object(),
    }
    run = flywheel_run(run_spec() | {"deploymentRef": {"name": "severity"}}, status)
    return run.model_copy(update={"metadata": run.metadata.model_copy(update={"name": name})})


@pytest.mark.parametrize(
    ("meta", "name"),
    [
        ({}, None),
        ({"managedFields": [{"manager": "kubectl-client-side-apply"}, {"manager": "flywheel"}]}, None),
        ({"managedFields": [{"manager": "argocd-controller"}]}, "Argo CD"),
        ({"managedFields": [{"manager": "argocd-controller", "subresource": "status"}]}, None),
        ({"managedFields": [{"manager": "kustomize-controller"}]}, "Flux"),
        ({"managedFields": [{"manager": "helm"}]}, "Helm"),
        ({"annotations": {"argocd.argoproj.io/tracking-id": "app:flywheel.dev/FlywheelRun:review/x"}}, "Argo CD"),
        ({"labels": {"argocd.argoproj.io/instance": "app"}}, "Argo CD"),
        ({"labels": {"app.kubernetes.io/instance": "app"}}, "Argo CD or Helm"),
        ({"labels": {"app.kubernetes.io/name": "app"}, "annotations": None}, None),
    ],
)
def test_who_keeps_an_object(meta: dict[str, Any], name: str | None) -> None:
    found = owner_of(meta)
    assert (found.name if found is not None else None) == name


@given(st.sampled_from(["suspend", "resume", "stop"]), st.booleans(), st.booleans())
def test_a_turn_changes_the_spec_or_is_refused(turn: Turn, suspended: bool, stopping: bool) -> None:
    """Never a patch that leaves all as it is; and what comes of one is a valid spec."""
    spec = run_spec(now=stopping) | {"suspend": suspended}
    run = flywheel_run(spec)
    try:
        patch = turned(run, turn)
    except CommandError:
        assert (turn, suspended, stopping) in {
            *(("suspend", True, now) for now in (True, False)),
            *(("resume", False, now) for now in (True, False)),
            *(("stop", was, True) for was in (True, False)),
        }
        return
    merged = {**spec, **patch, "stop": {**spec["stop"], **patch.get("stop", {})}}
    changed = FlywheelRunSpec.model_validate(merged)
    assert changed != run.spec
    assert changed.stop.max_iterations == run.spec.stop.max_iterations


@pytest.mark.parametrize("turn", ["suspend", "resume", "stop"])
def test_nothing_changes_an_ended_run(turn: Turn) -> None:
    with pytest.raises(CommandError, match="has ended"):
        turned(flywheel_run(run_spec(), stated("completed", Reason.PLATEAU)), turn)


def test_what_waits_is_approved() -> None:
    waits = stated("blocked", Reason.AWAITING_APPROVAL, waiting=taken("new"))
    assert approved(adapter_deployment(waits, approval="Manual"), None) == {"approvedDigest": digest("new")}
    assert approved(adapter_deployment(waits, approval="Manual"), digest("other")) == {
        "approvedDigest": digest("other")
    }
    with pytest.raises(CommandError, match="Automatic"):
        approved(adapter_deployment(waits), None)
    with pytest.raises(CommandError, match="no candidate waits"):
        approved(adapter_deployment({}, approval="Manual"), None)
    with pytest.raises(CommandError, match="already"):
        approved(adapter_deployment(waits, approval="Manual", approvedDigest=digest("new")), None)


def test_what_served_before_is_pinned() -> None:
    status = {"serving": taken("now"), "previous": [taken("before"), taken("older")]}
    assert rolled_back(adapter_deployment(status), None) == {"pin": digest("before")}
    assert rolled_back(adapter_deployment(status), "Base") == {"pin": "Base"}
    assert rolled_back(adapter_deployment(status), digest("older")) == {"pin": digest("older")}
    with pytest.raises(CommandError, match="nothing served before"):
        rolled_back(adapter_deployment({}), None)
    with pytest.raises(CommandError, match="at hand"):
        rolled_back(adapter_deployment(status), digest("unknown"))
    with pytest.raises(CommandError, match="already"):
        rolled_back(adapter_deployment(status, pin=digest("before")), None)


def test_the_newest_candidate_is_let_in() -> None:
    pinned = adapter_deployment({"serving": taken("now")}, pin=digest("now"))
    assert promoted(pinned, []) == {"pin": None}
    manual = adapter_deployment({}, approval="Manual", pin="Base")
    assert promoted(manual, [candidate("new", 3)]) == {"pin": None, "approvedDigest": digest("new")}
    other = candidate("other").model_copy(update={"spec": flywheel_run(run_spec()).spec})
    with pytest.raises(CommandError, match="no run has a candidate"):
        promoted(adapter_deployment({}, approval="Manual"), [other])
    with pytest.raises(CommandError, match="nothing holds"):
        promoted(adapter_deployment({}), [candidate("new")])


def test_what_is_printed_can_be_committed() -> None:
    """The fragment is YAML with the fields alone; what goes is a comment; kubectl's line has both."""
    meta = adapter_deployment({}).metadata
    text = fragment("AdapterDeployment", meta, {"pin": None, "approvedDigest": digest("new")})
    assert yaml.safe_load(text) == {
        "apiVersion": "flywheel.dev/v1alpha1",
        "kind": "AdapterDeployment",
        "metadata": {"name": "severity", "namespace": "review"},
        "spec": {"approvedDigest": digest("new")},
    }
    assert "# and remove there: spec.pin" in text
    line = kubectl_line("adapterdeployments", meta, {"pin": None})
    assert line.endswith("""adapterdeployments.flywheel.dev severity --type=merge -p '{"spec":{"pin":null}}'""")
