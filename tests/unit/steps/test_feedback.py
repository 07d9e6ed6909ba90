"""The flywheel closes: what users of the code-review service say is in the next exam pool, or not, and why."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from fastapi.testclient import TestClient

from flywheel.api.curriculum import Source
from flywheel.api.item import Item
from flywheel.data.pools import Thresholds

EXAMPLE = Path(__file__).parents[3] / "examples/code-review-service"
LOG = {"name": "users", "truth": "Feedback", "group": "repository", "format": "RequestLog"}
Say = Callable[..., None]


def served(request: httpx2.Request) -> httpx2.Response:
    """A served adapter that takes everything for major."""
    outputs = {"output": '{"issue_type": "major"}', "served_by": "sha256:1"}
    return httpx2.Response(200, json={"outputs": [{"name": name, "data": [text]} for name, text in outputs.items()]})


@pytest.fixture
def say(bench: Any, monkeypatch: pytest.MonkeyPatch) -> Say:
    """Has a finding rated by the service, whose log is on the bench's workspace, and gives feedback."""
    monkeypatch.syspath_prepend(EXAMPLE)
    parts = {
        name: importlib.import_module(name)
        for name in ("request_log", "reviewing", "served", "service", "service_settings")
    }
    (bench.root / "feedback").mkdir()
    settings = parts["service_settings"].Settings(triton_url="http://triton", log_folder=bench.root / "feedback")
    model = parts["served"].ServedModel("http://triton", "severity", httpx2.MockTransport(served))
    service = parts["reviewing"].Service(settings, model, parts["request_log"].RequestLog(settings.log_folder))
    client = TestClient(parts["service"].build(service))

    def rate_and_say(repository: str, question: dict[str, str], feedback: dict[str, Any] | None) -> None:
        (shown,) = client.post("/reviews", json={"repository": repository, "findings": [question]}).json()["findings"]
        if feedback is not None:
            reply = client.post(f"/findings/{shown['id']}/feedback", json=feedback)
            assert reply.status_code == 201, reply.text

    return rate_and_say


def named(bench: Any, pool: str) -> str:
    """A repository whose group lies in that pool."""
    ratios = {name: Decimal(share) for name, share in bench.preparing["ratios"].items()}
    thresholds = Thresholds(bench.preparing["poolsKey"], ratios)
    return next(name for name in (f"shop-{number}" for number in range(1000)) if thresholds.pool(name) == pool)


def pool(bench: Any, ran: Any, name: str) -> list[Item]:
    return [Item.model_validate(line) for line in bench.lines(ran, f"pools/{name}/items.jsonl")]


def question(name: str) -> dict[str, str]:
    return {"code": f"def {name}(rows):\n    return [row.{name} for row in rows]", "review": f"Why {name}?"}


CORRECTED = {"verdict": "corrected", "corrected": {"issue_type": "minor"}}


def test_what_users_correct_is_in_the_next_exam_pool(bench: Any, say: Say) -> None:
    before = pool(bench, bench.prepare(), "exam")
    known, exam, unseen = before[0], named(bench, "exam"), named(bench, "validation")
    say(exam, question("corrected"), CORRECTED)
    say(exam, question("accepted"), {"verdict": "accepted"})
    say(exam, question("rejected"), {"verdict": "rejected"})
    say(exam, question("silent"), None)
    say(unseen, question("held_out"), CORRECTED)
    say(exam, dict(known.input), {"verdict": "accepted"})

    ran = bench.prepare(sources=[*bench.preparing["sources"], LOG | {"path": "feedback/requests.jsonl"}])

    assert ran.code == 0, ran.log
    after = pool(bench, ran, "exam")
    (fresh,) = [item for item in after if item.source == "users"]
    assert (fresh.input, fresh.output, fresh.truth, fresh.group) == (
        question("corrected"), {"issue_type": "minor"}, "Feedback", exam,
    )  # fmt: skip
    # What the model said is never a label: accepted or not, the others are as they were.
    assert [item for item in after if item.source != "users"] == before
    rejected = ran.result.figures.rejected
    assert {reason: rejected[reason] for reason in ("FeedbackAccepted", "FeedbackRejected", "TruthUnfit")} == {
        "FeedbackAccepted": 2, "FeedbackRejected": 1, "TruthUnfit": 1,
    }  # fmt: skip
    assert rejected["NoFeedback"] == 6  # the line of each finding when it was rated
    for name in ("validation", "test", "probe"):
        assert [item for item in pool(bench, ran, name) if item.source == "users"] == []


def test_the_readmes_source_reads_a_copy_of_the_log(bench: Any, say: Say) -> None:
    text = (EXAMPLE / "README.md").read_text()
    (written,) = yaml.safe_load(text.split("```yaml\n")[1].split("```")[0])
    source = Source.model_validate(written)
    assert source.dataset is not None and source.dataset.path is not None
    say(named(bench, "exam"), question("corrected"), CORRECTED)
    (bench.root / "feedback/requests.jsonl").rename(bench.root / source.dataset.path)
    asked = LOG | {"name": source.name, "group": source.group, "path": source.dataset.path}
    asked |= {"truth": source.truth, "format": source.dataset.format, "maxRejected": source.max_rejected}
    ran = bench.prepare(sources=[*bench.preparing["sources"], asked])
    assert [item.source for item in pool(bench, ran, "exam")].count(source.name) == 1
