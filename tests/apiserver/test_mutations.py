"""Bad input of every kind, made from the CRDs' own schemas, on the real API server and through the real reconcile code.

Refused: with the field's path. Taken: the types take it too, and what follows is a plan or a condition with a reason;
never an exception, a hot loop, or a Job that is refused in silence.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from bed_cases import Case, nested
from bed_control_plane import ControlPlane
from bed_kinds import KINDS, Kind, Server, names_a_field
from bed_looks import Looks
from bed_node import DONE, HOLD
from bed_operator import OperatorProcess, ThreadedOperator
from bed_resources import curriculum
from hypothesis import HealthCheck, Phase, given, settings

from conftest import Bed
from flywheel.controller.main import read_deep_objects
from flywheel.controller.resources import CURRICULUM, OWNERS

NAMESPACE = "mutations"
CASES = 360  # of each kind
SAMPLE = 40
# What the API server takes and our types do not, with the reason; the operator says SpecInvalid.
STRICTER_TYPES = {
    "levels deep": "a CRD cannot say how deep a field that it leaves open may be nested",
}
# The API server refuses it; the type reads it all the same, as other spellings of legal values (5 as text, 1 as true).
OTHER_SPELLINGS = "strict types refuse it"
# A Job may be refused for what the user says of its pod, and for nothing else.
_USERS = re.compile(
    r"spec\.template\.spec\.(containers\[0\]\.(resources|image|env)|nodeSelector|tolerations|volumes\[\d+\]\.emptyDir)"
    r"|metadata\.(labels|annotations)|no PriorityClass with name"
)
EACH = settings(
    max_examples=CASES,
    derandomize=True,  # the same cases everywhere
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
Object = dict[str, Any]
pytestmark = pytest.mark.filterwarnings("ignore:The recursion limit will not be reset")


@pytest.fixture(scope="module", autouse=True)
def deep() -> None:
    """This process reads what the operator's reads."""
    read_deep_objects()


@pytest.fixture(scope="module")
def looks(plane: ControlPlane) -> Iterator[Looks]:
    """A namespace without an operator."""
    plane.kubectl("create", "namespace", NAMESPACE)
    with pytest.MonkeyPatch.context() as patch:
        yield Looks(plane, NAMESPACE, patch)
    plane.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


@pytest.mark.parametrize("kind", KINDS, ids=[kind.resource.kind for kind in KINDS])
def test_every_case(plane: ControlPlane, looks: Looks, capsys: pytest.CaptureFixture[str], kind: Kind) -> None:
    """API server and type agree on each case; what both take is planned, or has a condition."""
    counts: Counter[str] = Counter()
    server = Server(plane, NAMESPACE)

    @EACH
    @given(kind.cases)
    def each(case: Case) -> None:
        read_deep_objects()  # hypothesis sets the limit anew for each case
        code, answer = server.create(kind.resource, case)
        if code >= 400:
            counts["refused"] += 1
            assert names_a_field(answer), answer["message"]
            assert kind.fault(case.value) or kind.fault(case.value, strict=True), f"the type takes: {answer['message']}"
            return
        try:
            counts["admitted"] += 1
            counts[_taken(kind, looks, answer)] += 1
        finally:
            server.delete(kind.resource, answer["metadata"]["name"])

    each()
    with capsys.disabled():
        print(f"\n{kind.resource.kind}: {counts['refused'] + counts['admitted']} cases: {dict(counts)}")
    assert counts["refused"] > CASES / 5 and counts["planned"] > CASES / 5


def _taken(kind: Kind, looks: Looks, item: Object) -> str:
    """What becomes of a resource that the API server took."""
    fault = kind.fault(item)
    look = looks.at(kind.resource, item)
    if fault:
        assert any(known in fault for known in STRICTER_TYPES), f"the API server takes: {fault}"
        assert look.reasons[-1] == "SpecInvalid" and fault in look.messages[-1] and "spec." in fault
        return "SpecInvalid"
    for refusal in look.refused:
        assert _USERS.search(refusal), refusal
        assert look.reasons[-1] == "PodRefused" and "spec.jobs" in look.messages[-1]
    if look.reasons[-1] == "SpecInvalid":  # fits its type, and no Job: larger than a request may be
        assert "shorten" in look.messages[-1]
    return look.reasons[-1] if look.reasons[-1] in ("PodRefused", "SpecInvalid") else "planned"


def test_the_operator_meets_many(bed: Bed) -> None:
    """Real creates of whatever the API server takes: each has its condition, none fails, and then there is silence."""
    bed.node.script = lambda request: DONE if request.step == "prepare" else HOLD
    server = Server(bed.plane, bed.namespace)
    taken: Counter[str] = Counter()

    def create(kind: Kind) -> None:
        @settings(EACH, max_examples=SAMPLE, phases=[Phase.generate])
        @given(kind.cases)
        def each(case: Case) -> None:
            read_deep_objects()
            named = case.value
            named["metadata"]["name"] = f"case-{taken[kind.resource.kind]}"
            code, _ = server.create(kind.resource, Case(json.dumps(named)))
            taken[kind.resource.kind] += code < 400

        each()

    for kind in KINDS:
        create(kind)
    operator = bed.operator()
    bed.until("a condition for each", lambda: not _untold(bed))
    assert min(taken.values()) > SAMPLE / 5 and len(taken) == len(KINDS)
    assert _reconciles(operator, result="error") == 0
    bed.until("a listing", lambda: _listings(operator) >= 5)
    at_rest = _listings(operator)
    before = _reconciles(operator)
    bed.until("two listings more", lambda: _listings(operator) >= at_rest + 2 * 5)
    # Each listing may make the operator look once; some Jobs are refused and tried again, ever more seldom.
    assert _reconciles(operator) - before <= 3 * sum(taken.values()), "a hot loop"


def _untold(bed: Bed) -> list[str]:
    """Names of resources that no condition speaks of yet."""
    found: list[str] = []
    for kind in OWNERS:
        for item in bed.api.list(kind, bed.namespace)[0]:
            conditions = (item.get("status") or {}).get("conditions") or []
            if not any(entry["type"] == "Ready" and entry["reason"] and entry["message"] for entry in conditions):
                found.append(item["metadata"]["name"])
    return found


def _reconciles(operator: ThreadedOperator, **labels: str) -> float:
    return _total(operator, "controller_runtime_reconcile_total", **labels)


def _listings(operator: ThreadedOperator) -> float:
    return _total(operator, "flywheel_cache_listings_total")


def _total(operator: ThreadedOperator, name: str, **labels: str) -> float:
    return sum(
        sample.value
        for family in operator.metrics.registry.collect()
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


def test_one_that_is_nested_deeper_than_python_reads(bed: Bed, tmp_path: Any) -> None:
    """The API server takes 10 000 levels: the operator starts, says so, and serves all others."""
    deepest = curriculum(bed.namespace, "deepest")
    deepest["spec"]["task"]["outputSchema"] = nested(9900)
    server = Server(bed.plane, bed.namespace)
    code, answer = server.create(CURRICULUM, Case(json.dumps(deepest)))
    assert code == 201, answer
    operator = OperatorProcess(bed.plane, bed.namespace, tmp_path / "operator.log")
    operator.start()
    bed.apply(curriculum(bed.namespace))
    bed.until_condition(CURRICULUM, "severity", "Ready", "Prepared")
    bed.until_condition(CURRICULUM, "deepest", "Stalled", "SpecInvalid")
    assert "spec.task.outputSchema" in bed.condition(CURRICULUM, "deepest", "Ready")["message"]
    assert operator.stop() == 0
