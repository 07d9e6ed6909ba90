"""Asks many calls at once, each through the ledger: recorded replies are free, new ones are on disk before use.

Must not know what a reply means.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any, Protocol

from flywheel.api.request import StepRequest, TeacherParameters
from flywheel.api.result import Usage
from flywheel.data.redaction import Redactor
from flywheel.teacher.client import RefusedError, TeacherClient
from flywheel.teacher.ledger import Call, Intent, Ledger, Reply
from flywheel.teacher.prompts import Prompt
from flywheel.teacher.redacting import prompt_variables
from flywheel.workspace.store import Workspace

log = logging.getLogger("flywheel.step")


class Endpoint(Protocol):
    """What is used of TeacherClient."""

    @property
    def settings(self) -> dict[str, Any]: ...

    def complete(self, text: str) -> Reply: ...


@dataclass(frozen=True)
class Question:
    """One call to make: a template with its variables; slot and sample tell it from its like."""

    prompt: Prompt
    variables: dict[str, Any]
    slot: str
    sample: int = 0


@dataclass(frozen=True)
class _Told:
    reply: Reply
    recorded: bool
    lost: bool
    redacted: Counter[str]


class Teacher:
    """A teacher for one step of one run."""

    def __init__(
        self,
        parameters: TeacherParameters,
        endpoint: Endpoint,
        ledger: Ledger,
        payer: str,
        seed: int,
        redactor: Redactor | None = None,
    ) -> None:
        self._parameters = parameters
        self._endpoint = endpoint
        self._ledger = ledger
        self._payer = payer
        self._seed = seed
        self._usage = Usage()
        self._redactor = redactor
        self.redacted: Counter[str] = Counter()

    @property
    def usage(self) -> Usage:
        """What this step has paid, in this attempt and in earlier ones."""
        return self._usage

    def ask(self, questions: Sequence[Question], done: Callable[[int], None] = lambda _: None) -> list[Reply]:
        """Replies in the order of the questions. `done` hears how many are there.

        Raises the first failure; calls under way then still end and are recorded, others are not begun.
        """
        pool = ThreadPoolExecutor(self._parameters.concurrency, thread_name_prefix="teacher")
        try:
            futures: list[Future[_Told]] = [pool.submit(self._one, question) for question in questions]
            for count, future in enumerate(as_completed(futures), start=1):
                self._count(future.result())
                done(count)
            return [future.result().reply for future in futures]
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _one(self, question: Question) -> _Told:
        variables, redacted = prompt_variables(question.variables, self._redactor)
        call = Call(
            template=question.prompt.digest,
            variables=variables,
            model=self._parameters.model,
            parameters=self._endpoint.settings,
            purpose=question.prompt.name,
            slot=question.slot,
            sample=question.sample,
            seed=self._seed,
        )
        key = call.key
        known = self._ledger.recorded(key)
        if known is not None:
            return _Told(known, True, False, redacted)
        text = question.prompt.render(variables, call.mark)
        lost = self._ledger.intended(key)
        self._ledger.intend(key, self._intent(call, text))
        try:
            reply = self._endpoint.complete(text).model_copy(update={"payer": self._payer})
        except RefusedError:
            self._ledger.withdraw(key)
            raise
        self._ledger.record(key, reply)
        return _Told(reply, False, lost, redacted)

    def _intent(self, call: Call, text: str) -> Intent:
        return Intent(
            purpose=call.purpose,
            slot=call.slot,
            sample=call.sample,
            model=call.model,
            template=call.template,
            payer=self._payer,
            most_input_tokens=len(text.encode()),  # no tokenizer makes more tokens than bytes
            most_output_tokens=self._parameters.max_output_tokens,
        )

    def _count(self, told: _Told) -> None:
        # A killed attempt reports nothing: what it paid is counted by the one that goes on.
        paid = told.reply.payer == self._payer
        self.redacted += told.redacted
        self._usage = Usage(
            calls=self._usage.calls + paid,
            recorded=self._usage.recorded + told.recorded,
            lost_in_flight=self._usage.lost_in_flight + told.lost,
            input_tokens=self._usage.input_tokens + told.reply.input_tokens * paid,
            output_tokens=self._usage.output_tokens + told.reply.output_tokens * paid,
        )


def teacher_for(
    request: StepRequest, workspace: Workspace, parameters: TeacherParameters, redactor: Redactor
) -> Teacher:
    """The teacher of a step: its ledger is the writable folder below ledger/."""
    folder = next(path for path in request.also_writable if path.startswith("ledger/"))
    payer = request.output.rpartition("/")[0]
    return Teacher(parameters, TeacherClient(parameters), Ledger(workspace, folder), payer, request.seed, redactor)
