"""Asks many calls at once, each through the ledger: recorded replies are free, new ones are on disk before use.

One thread decides and keeps the books; the others only wait for the endpoint. Must not know what a reply means.
"""

from __future__ import annotations

import hashlib
import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from flywheel.api.conditions import Reason
from flywheel.api.request import StepRequest, TeacherParameters
from flywheel.api.result import Usage
from flywheel.data.redaction import Redactor
from flywheel.teacher.client import RefusedError, TeacherClient, UncertainError, call_settings
from flywheel.teacher.ledger import Call, Intent, Ledger, NotRecordedError, RecordedLedger, Reply
from flywheel.teacher.limits import Pace, Slot
from flywheel.teacher.prompts import Prompt
from flywheel.teacher.purse import Purse
from flywheel.teacher.redacting import prompt_variables
from flywheel.teacher.shapes import Schema, response_format
from flywheel.workspace.digest import canonical_json, digest_json
from flywheel.workspace.program import Attempt, BadInputError, TryLaterError
from flywheel.workspace.termination import termination

log = logging.getLogger("flywheel.step")

TRIES = 6
FIRST_DELAY, LONGEST_DELAY = 0.5, 30.0
# An endpoint that asks for a longer rest than this gets it from the operator, without a pod that waits.
LONGEST_HOLD = 60.0
# What a chat template may add to a prompt.
TEMPLATE_TOKENS = 64


class Endpoint(Protocol):
    """What is used of TeacherClient."""

    @property
    def settings(self) -> dict[str, Any]: ...

    def complete(self, text: str, response_format: dict[str, Any] | None = None) -> Reply: ...


class Nobody:
    """The endpoint of a step that is repeated from the ledger: it is never asked."""

    def __init__(self, parameters: TeacherParameters) -> None:
        self.settings = call_settings(parameters)

    def complete(self, text: str, response_format: dict[str, Any] | None = None) -> Reply:
        """Raises NotRecordedError."""
        raise NotRecordedError(f"a prompt of {len(text)} characters has no recorded reply")


class Clock:
    """Seconds that only go on, and waiting: for the first of some calls to end, or for time to pass."""

    def now(self) -> float:
        """Now."""
        return time.monotonic()

    def wait(self, running: Collection[Future[Reply]], seconds: float | None) -> None:
        """Until one has ended or the seconds are over; None: however long it takes."""
        if running:
            wait(running, seconds, FIRST_COMPLETED)
        elif seconds is not None:
            time.sleep(seconds)


@dataclass(frozen=True)
class Question:
    """One call to make: a template with its variables; slot and sample tell it from its like.

    `shape` is the JSON Schema of its reply, for an endpoint that can keep to it.
    """

    prompt: Prompt
    variables: dict[str, Any]
    slot: str
    sample: int = 0
    shape: Schema | None = None


@dataclass
class _Asked:
    """A call that has no reply yet."""

    place: int
    key: str
    send: Callable[[], Reply]
    most: Intent
    slot: Slot | None = None
    tries: int = 0
    due: float = 0.0


class Teacher:
    """A teacher for one step of one run."""

    def __init__(
        self,
        parameters: TeacherParameters,
        endpoint: Endpoint,
        ledger: Ledger,
        payer: str,
        seed: int,
        redactor: Redactor,
        clock: Clock | None = None,
    ) -> None:
        self._parameters = parameters
        self._endpoint = endpoint
        self._ledger = ledger
        self._payer = payer
        self._seed = seed
        self._clock = clock or Clock()
        self._pace = Pace(parameters.requests_per_minute, parameters.tokens_per_minute)
        self._purse = Purse(parameters.allowance)
        self._served = parameters.served_model
        self._counted: set[str] = set()
        self._running: dict[Future[Reply], _Asked] = {}
        self._resting: list[_Asked] = []
        self._redactor = redactor
        self.redacted: Counter[str] = Counter()
        self._used: dict[str, dict[str, Any]] = {}

    @property
    def usage(self) -> Usage:
        """What this step is charged: for this attempt and for earlier ones."""
        return self._purse.usage

    @property
    def served_model(self) -> str | None:
        """Digest of the name of the model that answered."""
        return self._served

    @property
    def calls(self) -> list[dict[str, Any]]:
        """The calls whose replies were used, in the order of their keys, with the digest of each reply."""
        return [self._used[key] for key in sorted(self._used)]

    def ask(self, questions: Sequence[Question], done: Callable[[int], None] = lambda _: None) -> list[Reply | None]:
        """Replies in the order of the questions; None for a call that the allowance does not cover.

        `done` hears how many are there. Which calls are made does not depend on how fast replies come: calls are
        begun in order, and none after the first that does not fit once all before it are settled.
        Raises the first failure; calls under way then still end and are recorded, others are not begun.
        """
        replies: list[Reply | None] = [None] * len(questions)
        fresh: list[_Asked] = []
        for place, question in enumerate(questions):  # all that was paid before is counted before anything is begun
            asked = self._asked(place, question)
            replies[place] = reply = self._recorded(asked)
            if reply is None:
                fresh.append(asked)
            else:
                self._use(asked, reply)
        count = len(questions) - len(fresh)
        if count:
            done(count)
        fresh.reverse()
        pool = ThreadPoolExecutor(self._parameters.concurrency, thread_name_prefix="teacher")
        try:
            while fresh or self._running or self._resting:
                seconds = self._begin(pool, fresh)
                self._clock.wait(self._running, seconds)
                for future in [future for future in self._running if future.done()]:
                    asked = self._running[future]
                    reply = self._end(future, asked)
                    if reply is not None:
                        replies[asked.place] = reply
                        self._use(asked, reply)
                        count += 1
                        done(count)
            return replies
        finally:
            self._drain()
            pool.shutdown(wait=True)

    def _use(self, asked: _Asked, reply: Reply) -> None:
        names = {"purpose": asked.most.purpose, "slot": asked.most.slot, "sample": asked.most.sample}
        self._used[asked.key] = {"key": asked.key, **names, "reply": digest_json(reply.to_json_object())}

    def _asked(self, place: int, question: Question) -> _Asked:
        variables, redacted = prompt_variables(question.variables, self._redactor)
        self.redacted += redacted
        wanted = response_format(self._parameters.structured_outputs, question.prompt.name, question.shape)
        call = Call(
            template=question.prompt.digest,
            variables=variables,
            model=self._parameters.model,
            parameters=self._endpoint.settings | wanted,
            purpose=question.prompt.name,
            slot=question.slot,
            sample=question.sample,
            seed=self._seed,
        )
        text = question.prompt.render(variables, call.mark)
        most = Intent(
            purpose=call.purpose,
            slot=call.slot,
            sample=call.sample,
            model=call.model,
            template=call.template,
            payer=self._payer,
            # No tokenizer makes more tokens than bytes; a schema is paid as a part of the prompt.
            most_input_tokens=len(text.encode()) + TEMPLATE_TOKENS + (len(canonical_json(wanted)) if wanted else 0),
            most_output_tokens=self._parameters.max_output_tokens,
        )
        return _Asked(place, call.key, partial(self._endpoint.complete, text, **wanted), most)

    def _recorded(self, asked: _Asked) -> Reply | None:
        """The reply in the ledger; and the books say what this step paid for the call, be it in an earlier attempt."""
        reply = self._ledger.recorded(asked.key)
        first = asked.key not in self._counted
        self._counted.add(asked.key)
        earlier = self._ledger.intended(asked.key)
        if earlier is not None and earlier.payer == self._payer:
            lost = earlier.lost + (earlier.begun and reply is None)
            asked.most = asked.most.model_copy(update={"lost": lost})
            if first and lost:
                self._purse.lose(asked.most, lost)
        if reply is not None:
            self._require_same_model(reply)
            self._purse.found()
            # A killed attempt reports nothing: what it paid is counted by the one that goes on.
            if first and reply.payer == self._payer:
                self._purse.pay(reply)
        return reply

    def _begin(self, pool: ThreadPoolExecutor, fresh: list[_Asked]) -> float | None:
        """Begin what may begin now; seconds until something else may, None where only replies can tell."""
        while len(self._running) < self._parameters.concurrency:
            now = self._clock.now()
            again = next((asked for asked in self._resting if asked.due <= now), None)
            asked = again or (fresh[-1] if fresh else None)
            if again is None and asked is not None and not self._purse.fits(asked.most):
                if not self._running and not self._resting:
                    self._purse.turn_away(len(fresh))
                    fresh.clear()
                    return 0.0
                asked = None
            if asked is None:
                return min((resting.due - now for resting in self._resting), default=None)
            most = asked.most.most_input_tokens + asked.most.most_output_tokens
            if (seconds := self._pace.wait(now, most)) > 0:
                return seconds
            if again is None:
                self._purse.reserve(asked.most)
                fresh.pop()
            else:
                self._resting.remove(asked)
            with termination.held():  # an intent whose request was never sent would be charged as lost
                self._ledger.intend(asked.key, asked.most)
                asked.tries += 1
                asked.slot = self._pace.begin(now, most)
                self._running[pool.submit(asked.send)] = asked
        return None

    def _end(self, future: Future[Reply], asked: _Asked) -> Reply | None:
        """The reply, on disk; or None where the call is to be made again. Raises what cannot be mended by that."""
        try:
            reply = future.result()
        except RefusedError as error:
            self._ledger.withdraw(asked.key, asked.most)
            self._settle(future, asked, 0)
            self._rest(asked, error, error.again, error.retry_after)
            return None
        except UncertainError as error:
            self._lose(future, asked)
            self._rest(asked, error, again=True, retry_after=None)
            return None
        try:
            self._require_same_model(reply)
        except BadInputError:
            self._lose(future, asked)
            raise
        return self._take(future, asked, reply)

    def _take(self, future: Future[Reply], asked: _Asked, reply: Reply) -> Reply:
        """Put a reply on disk, then into the books. One that does not say what it used is charged as reserved."""
        update: dict[str, Any] = {"payer": self._payer}
        if not reply.metered:
            update |= {"input_tokens": asked.most.most_input_tokens, "output_tokens": asked.most.most_output_tokens}
        reply = reply.model_copy(update=update)
        self._ledger.record(asked.key, reply)
        self._settle(future, asked, reply.input_tokens + reply.output_tokens)
        self._purse.release(asked.most)
        self._purse.pay(reply)
        return reply

    def _lose(self, future: Future[Reply], asked: _Asked) -> None:
        """The intent stays on disk as begun: whoever goes on finds there what is counted here."""
        self._running.pop(future)
        self._purse.lose(asked.most, 1)
        asked.most = asked.most.model_copy(update={"lost": asked.most.lost + 1})

    def _settle(self, future: Future[Reply], asked: _Asked, tokens: int) -> None:
        self._running.pop(future)
        if asked.slot is not None:
            self._pace.settle(asked.slot, tokens)

    def _rest(
        self, asked: _Asked, error: RefusedError | UncertainError, again: bool, retry_after: float | None
    ) -> None:
        """Make the call again later, longer each time; a wish of the endpoint holds back all calls."""
        if not again or asked.tries >= TRIES or (retry_after or 0.0) > LONGEST_HOLD:
            self._purse.release(asked.most)
            raise error
        if isinstance(error, UncertainError):
            self._purse.release(asked.most)
            if not self._purse.fits(asked.most):
                raise error
            self._purse.reserve(asked.most)
        # Jitter: many that were refused at once must not come back at once.
        delay = min(FIRST_DELAY * 2 ** (asked.tries - 1), LONGEST_DELAY) * random.uniform(0.5, 1.0)  # noqa: S311
        now = self._clock.now()
        if retry_after is not None:
            self._pace.hold(now + retry_after)
            delay += retry_after
        asked.due = now + delay
        self._resting.append(asked)

    def _require_same_model(self, reply: Reply) -> None:
        if not reply.model:
            return
        served = hashlib.sha256(reply.model.encode()).hexdigest()[:12]
        if self._served is None:
            self._served = served
        if served != self._served:
            words = (
                f"the teacher's endpoint answers as another model than this run began with (digest {served}, was"
                f" {self._served}): name a dated model in a new run, with another seed"
            )
            raise BadInputError(words, Reason.TEACHER_MODEL_CHANGED)

    def _drain(self) -> None:
        """What is under way still ends: a reply that came is paid, so it is recorded."""
        wait(self._running)
        for future, asked in list(self._running.items()):
            with suppress(TryLaterError, BadInputError):  # the first failure is the one that is told
                self._end(future, asked)
        self._running.clear()
        self._resting.clear()


def teacher_for(attempt: Attempt, parameters: TeacherParameters, redactor: Redactor) -> Teacher:
    """The teacher of a step: its ledger is the writable folder below ledger/."""
    request: StepRequest = attempt.request
    folder = next(path for path in request.also_writable if path.startswith("ledger/"))
    payer = request.output.rpartition("/")[0]
    ledger = (RecordedLedger if attempt.replaying else Ledger)(attempt.workspace, folder)
    endpoint = Nobody(parameters) if attempt.replaying else TeacherClient(parameters)
    teacher = Teacher(parameters, endpoint, ledger, payer, request.seed, redactor)
    attempt.usage = lambda: teacher.usage
    return teacher
