"""Rates findings, decides which are shown, and writes both down; then what users say. Must not know HTTP's paths."""

from __future__ import annotations

import asyncio
import json
import random
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from fastapi.concurrency import run_in_threadpool
from prometheus_client import CollectorRegistry, Counter
from rating import Answer, ExplainedAnswer, read_answer
from request_log import RequestLog
from requested import Feedback, Question, ReviewRequest
from served import Reply, ServedModel, ServingError
from service_settings import Settings
from showing import decide

NOT_RATED = "not rated"
_KEPT = 2000  # characters of a reply in the log
_CHANCE = random.SystemRandom()
Line = dict[str, Any]


class UnfitFeedbackError(ValueError):
    """The correction is no answer of this task."""


class Service:
    """The work behind the paths. Time and chance come from outside."""

    def __init__(
        self,
        settings: Settings,
        model: ServedModel,
        requests: RequestLog,
        draw: Callable[[], float] = _CHANCE.random,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._settings, self._model, self._log = settings, model, requests
        self._draw, self._now = draw, now
        self.metrics = CollectorRegistry()
        self._rated = Counter("review_findings", "Findings.", ["severity", "shown"], registry=self.metrics)
        self._given = Counter("review_feedback", "What users said.", ["verdict"], registry=self.metrics)

    async def review(self, asked: ReviewRequest) -> dict[str, Any]:
        """What is shown of the findings, in their order. Raises NoCodeError, ServingError, LogError."""
        questions = asked.questions()
        replies = await self._ask(questions)
        pairs = list(zip(questions, replies, strict=True))
        answers = [reply and read_answer(reply.text, self._answer) for reply in replies]
        lines = [self._line(asked.repository, *pair, answer) for pair, answer in zip(pairs, answers, strict=True)]
        await run_in_threadpool(self._log.append, lines)
        for line in lines:
            self._rated.labels(line["label"] or NOT_RATED, str(line["shown"]).lower()).inc()
        shown = [
            {"id": line["id"], "finding": place, "severity": NOT_RATED, **_said(answer)}
            for place, (line, answer) in enumerate(zip(lines, answers, strict=True))
            if line["shown"]
        ]
        return {"findings": shown, "hidden": len(lines) - len(shown)}

    def give(self, finding: str, said: Feedback) -> None:
        """Keep what a user says. Raises UnfitFeedbackError, and as RequestLog.give does."""
        if said.corrected and (said.corrected.explanation is not None) != self._settings.explained:
            wanted = "needs an explanation, too" if self._settings.explained else "has no explanation"
            raise UnfitFeedbackError(f"corrected {wanted}: so are the answers of this task")
        self._log.give(finding, said.model_dump(exclude_none=True) | {"at": self._now().isoformat()})
        self._given.labels(said.verdict).inc()

    @property
    def _answer(self) -> type[Answer]:
        return ExplainedAnswer if self._settings.explained else Answer

    async def _ask(self, questions: list[Question]) -> list[Reply | None]:
        failures, tasks = list[Exception](), list[asyncio.Task[Reply | None]]()
        try:
            async with asyncio.TaskGroup() as group:
                tasks += [group.create_task(self._model.ask(question)) for question in questions]
        except* ServingError as errors:
            failures += errors.exceptions
        if failures:
            raise failures[0]
        return [task.result() for task in tasks]

    def _line(self, repository: str, question: Question, reply: Reply | None, answer: Answer | None) -> Line:
        label = answer.issue_type if answer else None
        showing = decide(label, self._settings.show_from, self._settings.explore, self._draw())
        return {
            "id": uuid.uuid4().hex,
            "at": self._now().isoformat(),
            "repository": repository,
            "request": {
                "model": self._settings.model_name,
                "messages": [{"role": "user", "content": json.dumps(question, ensure_ascii=False)}],
            },
            "reply": reply.text[:_KEPT] if reply else None,
            "label": label,
            "servedBy": reply.served_by if reply else None,
            "shown": showing.shown,
            "propensity": showing.propensity,
        }


def _said(answer: Answer | None) -> dict[str, str]:
    if answer is None:
        return {}
    return {"severity": answer.issue_type, **answer.model_dump(exclude={"issue_type"})}
