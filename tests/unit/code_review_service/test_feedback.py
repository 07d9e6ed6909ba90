"""What users say, and that the log holds exactly what was promised, whatever happens to the process or the disk."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .conftest import Load, Product, Start

Finding = Callable[..., dict[str, Any]]


async def shown(product: Product, finding: dict[str, Any]) -> str:
    reply = await product.client.post("/reviews", json={"repository": "shop", "findings": [finding]})
    return str(reply.json()["findings"][0]["id"])


async def give(product: Product, name: str, body: Any) -> Any:
    return await product.client.post(f"/findings/{name}/feedback", json=body)


CORRECTED = {"verdict": "corrected", "corrected": {"issue_type": "minor"}}


@pytest.mark.parametrize("said", [{"verdict": "accepted"}, {"verdict": "rejected"}, CORRECTED])
async def test_feedback_repeats_the_line_that_it_is_about(start: Start, finding: Finding, said: Any) -> None:
    product = start()
    name = await shown(product, finding("major"))
    assert (await give(product, name, said)).status_code == 201
    first, second = product.lines()
    feedback = second.pop("feedback")
    assert second == first
    assert feedback.pop("at") and feedback == said


async def test_the_first_feedback_counts_also_after_a_restart(start: Start, finding: Finding) -> None:
    product = start()
    name, other = await shown(product, finding("major")), await shown(product, finding("critical"))
    await give(product, name, CORRECTED)
    with product.log.open("ab") as file:
        file.write(b'{"id": "half a line of a killed')
    again = start()
    reply = await give(again, name, {"verdict": "accepted"})
    assert reply.status_code == 409 and "the first counts" in reply.json()["detail"]
    assert (await give(again, other, {"verdict": "accepted"})).status_code == 201
    assert [line.get("feedback", {}).get("verdict") for line in again.lines()] == [None, None, "corrected", "accepted"]


async def test_only_what_was_shown_can_be_talked_about(start: Start, finding: Finding) -> None:
    product = start()
    product.draws.append(0.9)
    await product.client.post("/reviews", json={"repository": "shop", "findings": [finding("trivial")]})
    (hidden,) = product.lines()
    for name in (hidden["id"], "nobody"):
        assert (await give(product, name, CORRECTED)).status_code == 404


@pytest.mark.parametrize(
    ("explained", "said", "words"),
    [
        (False, {"verdict": "liked"}, "verdict: "),
        (False, {"verdict": "corrected"}, "has corrected"),
        (False, {"verdict": "accepted", "corrected": {"issue_type": "minor"}}, "has corrected"),
        (False, {"verdict": "corrected", "corrected": {"issue_type": "fatal"}}, "corrected.issue_type: "),
        (False, {"verdict": "corrected", "corrected": {"issue_type": "minor", "explanation": "So."}}, "no explanation"),
        (True, CORRECTED, "needs an explanation"),
    ],
)
async def test_feedback_that_would_break_the_curriculum_is_refused(
    start: Start, finding: Finding, explained: bool, said: Any, words: str
) -> None:
    product = start(explained=explained)
    name = await shown(product, finding("major", explanation="It drops rows."))
    reply = await give(product, name, said)
    assert reply.status_code == 422 and words in reply.json()["detail"]
    assert len(product.lines()) == 1


async def test_a_full_disk_leaves_whole_lines_and_shows_nothing(
    start: Start, finding: Finding, monkeypatch: pytest.MonkeyPatch
) -> None:
    product, write = start(), os.write
    name = await shown(product, finding("major"))

    def full(file: int, data: bytes) -> int:
        if len(data) > 10:
            return write(file, data[:10])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        reply = await product.client.post("/reviews", json={"repository": "shop", "findings": [finding("major")]})
        assert reply.status_code == 503 and "No space left" in reply.json()["detail"]
        assert (await give(product, name, CORRECTED)).status_code == 503
    assert [line["id"] for line in product.lines()] == [name]
    assert (await give(product, name, CORRECTED)).status_code == 201
    assert [line["id"] for line in product.lines()] == [name, name]


def test_a_second_writer_and_a_foreign_file_are_refused(module: Load, tmp_path: Path) -> None:
    log, error = module("request_log").RequestLog, module("request_log").LogError
    first = log(tmp_path)
    with pytest.raises(error, match="another process"):
        log(tmp_path)
    first.append([{"id": "1", "shown": True}])
    first.close()
    (tmp_path / "requests.jsonl").write_text(json.dumps({"id": "1", "shown": True}) + '\n{"input": 1}\n')
    with pytest.raises(error, match="line 2"):
        log(tmp_path)
    with pytest.raises(error, match="cannot be opened"):
        log(tmp_path / "nowhere")
