"""What is shown of objects: as the API server has them, few series each, and none that outlives its object."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from resources import CLAIM, NOW, digest, flywheel_run, metadata, run_spec
from simulation import Script, World

from flywheel.api.conditions import Reason
from flywheel.controller.cache import Cache
from flywheel.controller.metrics import Metrics
from flywheel.controller.metrics_reference import reference
from flywheel.controller.resources import DEPLOYMENT, RUN, Resource
from flywheel.controller.shown import Shown

Series = dict[tuple[str, tuple[tuple[str, str], ...]], float]
BUDGET = {"teacherTokens": 1000, "wallTime": "10h"}
MOST_OF_A_RUN, MOST_OF_A_DEPLOYMENT = 110, 24


class Seen:
    """A cache, what is shown of it, and the versions that an API server counts."""

    def __init__(self) -> None:
        self.metrics, self.cache, self.version = Metrics(), Cache(), 0
        self._shown, self._uids = Shown(self.cache, self.metrics), dict[str, str]()

    def look(self, kind: Resource, item: dict[str, Any]) -> None:
        self.version += 1
        about = item["metadata"] | {"resourceVersion": str(self.version)}
        about["uid"] = self._uids.setdefault(about["name"], f"uid-{self.version}")
        self.cache.update(kind, item | {"metadata": about})
        self._shown.look(kind.kind, about["namespace"], about["name"])

    def gone(self, kind: Resource, name: str) -> None:
        self.cache.remove(kind, self._uids.pop(name, ""))
        self._shown.look(kind.kind, "review", name)

    def series(self) -> Series:
        """All series of objects, as a scrape reads them."""
        text = generate_latest(self.metrics.registry).decode()
        found: Series = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                key = sample.name, tuple(sorted(sample.labels.items()))
                assert key not in found, f"{key} is there twice: Prometheus would refuse all of it"
                found[key] = sample.value
        return {key: value for key, value in found.items() if ("namespace", "review") in key[1]}

    def value(self, metric: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(metric, {"namespace": "review", "name": "a"} | labels)


def run_item(status: dict[str, Any], name: str = "a", **stop: Any) -> dict[str, Any]:
    teacher = run_spec()["teacher"] | {"prices": {"currency": "EUR", "inputPerMillion": "1", "outputPerMillion": "2"}}
    value = flywheel_run(run_spec(**stop) | {"teacher": teacher}, status).to_json_object()
    return value | {"metadata": metadata(name)}


def deployment_item(status: dict[str, Any], name: str = "d") -> dict[str, Any]:
    target = {"serviceRef": {"name": "triton"}, "model": "severity"}
    target |= {"repository": {"persistentVolumeClaim": {"claimName": "models"}}}
    return {"metadata": metadata(name), "spec": {"target": {"triton": target}}, "status": status}


def revision(number: int, **more: Any) -> dict[str, Any]:
    found = {"digest": digest(str(number)), "run": "a", "iteration": number, "runCreated": NOW.isoformat()}
    return found | {"workspace": CLAIM.to_json_object()} | more


def condition(kind: str, status: str, reason: str) -> dict[str, Any]:
    found = {"type": kind, "status": status, "reason": reason, "message": "x", "observedGeneration": 1}
    return found | {"lastTransitionTime": NOW.isoformat()}


@settings(max_examples=15)
@given(st.lists(st.tuples(st.sampled_from(["a", "b", "d"]), st.integers(0, 9)), max_size=30), st.binary(max_size=60))
def test_what_is_shown_is_that_of_the_objects_that_are_there(doings: list[tuple[str, int]], numbers: bytes) -> None:
    """Objects come, change and go in any order: what is left is what a process that sees only the last state shows."""
    seen, there = Seen(), dict[str, tuple[Resource, dict[str, Any]]]()
    worlds = {name: World(Script(numbers), run_spec(budget=BUDGET)) for name in ("a", "b")}
    for name, doing in doings:
        kind = DEPLOYMENT if name == "d" else RUN
        if doing < 3:
            seen.gone(kind, name)
            there.pop(name, None)
            continue
        if name == "d":
            status = {
                "serving": revision(doing),
                "rollouts": doing,
                "conditions": [condition("Ready", "True", "Serving")],
            }
            item = deployment_item(status if doing % 2 else {"rollout": revision(doing)}, name)
        else:
            worlds[name].turn()
            item = run_item(worlds[name].status, name, budget=BUDGET)
        seen.look(kind, item)
        there[name] = kind, item
    fresh = Seen()
    for kind, item in there.values():
        fresh.look(kind, item)
    assert seen.series() == fresh.series()
    for name, (kind, _) in there.items():
        seen.gone(kind, name)
    assert seen.series() == {}


def test_a_condition_has_one_series_whatever_it_was_before() -> None:
    seen = Seen()
    for status, reason in (("False", "Running"), ("False", "WaitingForPod"), ("True", "MaxIterations")):
        seen.look(RUN, run_item({"conditions": [condition("Ready", status, reason)]}))
    found = [dict(labels) for (name, labels) in seen.series() if name == "flywheel_run_condition"]
    assert found == [{"namespace": "review", "name": "a", "type": "Ready", "status": "True", "reason": "MaxIterations"}]


def test_a_run_that_does_not_fit_its_type_still_shows_that_it_is_stalled() -> None:
    seen = Seen()
    broken = run_item({"conditions": [condition("Stalled", "True", Reason.SPEC_INVALID)]})
    broken["spec"]["stop"]["maxIterations"] = "many"
    seen.look(RUN, broken)
    assert seen.value("flywheel_run_condition", type="Stalled", status="True", reason="SpecInvalid") == 1
    assert {name for name, _ in seen.series()} == {"flywheel_run_condition"}


def test_a_whole_run_shows_its_budget_and_each_pod_once() -> None:
    """Used and left add up to the limit, and the times of steps to those of the run."""

    class Running(World):
        def _create(self, job: Any, recorded: bool) -> None:
            super()._create(job, recorded)
            self.jobs[job.name].phases = ["running"]

    seen, world = Seen(), Running(spec=run_spec(budget=BUDGET))
    while not world.ended:
        world.turn()
        seen.look(RUN, run_item(world.status, budget=BUDGET))
    usage = world.read_status().usage
    assert usage.pod_seconds > 0
    assert seen.value("flywheel_run_budget_used", budget="wallTime") == usage.pod_seconds
    assert seen.value("flywheel_run_budget_left", budget="wallTime") == 36000 - usage.pod_seconds
    assert seen.value("flywheel_run_budget_used", budget="teacherTokens") == usage.teacher_tokens
    assert seen.value("flywheel_run_budget_left", budget="teacherTokens") == max(0, 1000 - usage.teacher_tokens)
    assert seen.value("flywheel_run_step_start_timestamp_seconds") is None
    steps = [sample for family in seen.metrics.steps.collect() for sample in family.samples]
    assert sum(sample.value for sample in steps if sample.name.endswith("_sum")) == usage.pod_seconds


def test_the_fullest_status_has_few_series() -> None:
    """All lists as long as the CRD lets them be."""
    labels = [f"label-{number}" for number in range(16)]
    wrong = {"items": 9, "wrong": 1, "error": "0.1", "low": "0.0", "high": "0.3"}
    arm = {"accuracy": "0.5", "low": "0.4", "high": "0.6"}
    step = {"name": "train", "attempt": 1, "digest": digest("x")}
    status: dict[str, Any] = {
        "conditions": [condition(f"Type{number}", "True", "Some") for number in range(16)],
        "step": "train",
        "iteration": 3,
        "pod": {"iteration": 3, "step": "train", "attempt": 1, "since": NOW.isoformat()},
        "startedAt": NOW.isoformat(),
        "endedAt": NOW.isoformat(),
        "proficiency": 7,
        "examAccuracy": "0.5",
        "examBounds": {"low": "0.4", "high": "0.6"},
        "inflationGap": {"gap": "0.1", "low": "0.0", "high": "0.2"},
        "validation": arm,
        "test": arm | {"iteration": 2, "passed": True},
        "best": {"iteration": 2, "digest": digest("x"), "accuracy": "0.5", "train": step, "validated": step},
        "candidate": {"iteration": 2, "digest": digest("x"), "train": step, "validated": step, "test": step},
        "usage": {"cost": "1.0"},
        "teacherError": [wrong | {"label": label} for label in labels],
        "replies": [{"rung": f"rung-{number}", "count": 1} for number in range(16)],
        "baseline": [arm | {"name": f"arm-{number}"} for number in range(8)],
        "leakage": {"checked": 9, "quarantined": [{"reason": f"r{number}", "items": 1} for number in range(8)]},
    }
    seen = Seen()
    item = run_item(status, budget=BUDGET | {"cost": "9", "gpuHours": "9"})
    seen.look(RUN, item | {"spec": item["spec"] | {"control": True}})
    assert len(seen.series()) == MOST_OF_A_RUN
    many = [condition(f"Type{number}", "True", "Some") for number in range(16)]
    now = NOW.isoformat()
    since = {"serving": revision(1, since=now), "waiting": revision(2, since=now), "rejected": [revision(3, since=now)]}
    full = Seen()
    full.look(DEPLOYMENT, deployment_item(since | {"conditions": many, "rollout": revision(4)}))
    assert len(full.series()) == MOST_OF_A_DEPLOYMENT
    assert f"at most {MOST_OF_A_RUN} series, an AdapterDeployment {MOST_OF_A_DEPLOYMENT}" in reference()


@pytest.mark.parametrize(
    "metric", ["workqueue_depth", "controller_runtime_reconcile_total", "rest_client_requests_total"]
)
def test_the_reference_has_the_names_that_others_know(metric: str) -> None:
    assert f"| `{metric}` |" in reference()
