"""Has the teacher write items to quotas per label: small calls, items checked and voted on, shortages asked for again.

Must not know whether they make an exam or training data.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from flywheel.api.result import UNWILLING
from flywheel.data.firewall import Firewall
from flywheel.data.normalise import item_id, question_id
from flywheel.data.quotas import portions
from flywheel.data.schemas import TaskSchemas
from flywheel.teacher.asking import Question, Teacher
from flywheel.teacher.labelling import Labelled, Labeller
from flywheel.teacher.ledger import Reply
from flywheel.teacher.prompts import Prompt
from flywheel.teacher.replies import Read, Rung, read_items, without_reasoning
from flywheel.teacher.shapes import Schema

log = logging.getLogger("flywheel.step")

ITEMS_A_CALL = 10
CALLS_A_TURN = 20  # then votes: where the budget ends, little was written that nobody can vote on any more
ROUNDS = 4  # the first asking and three top-ups
FIELDS = ("question", "answer")
MOST_REPAIRED = 20_000  # characters: what is longer and cannot be read is no exam that lacks a comma
VOTED_OUT = "VotedOut"
TOP_UP = 2  # so many times what is missing: where items were rejected, some of the next will be


_Call = tuple[str, int, Question]  # label, items asked for


@dataclass(frozen=True)
class Written:
    """A good item of the teacher."""

    id: str
    question: dict[str, Any]
    answer: dict[str, Any]


@dataclass(frozen=True)
class Shortage:
    """Items of a label that were not written, and the main reason: Budget, Refused, RoundsUsed, or why items fell."""

    missing: int
    reason: str


@dataclass(frozen=True)
class Order:
    """What is wanted: a template that yields a list called `name`, and how its calls are told apart."""

    prompt: Prompt
    repair: Prompt
    name: str
    slot: str
    quotas: Mapping[str, int]
    variables: Callable[[str, int, str], dict[str, Any]]  # of label, count and slot
    unit: str
    shape: Schema  # of a reply


class Writer:
    """Collects items that fit the schemas, carry the label asked for, and were not there before."""

    def __init__(
        self,
        teacher: Teacher,
        schemas: TaskSchemas,
        label_path: str,
        known: Iterable[str],
        firewall: Firewall,
        labeller: Labeller | None,
    ) -> None:
        """Without a labeller nothing guards against wrong labels: for experiments only."""
        self._teacher = teacher
        self._schemas = schemas
        self._label_path = label_path
        self._known = set(known)
        self._firewall = firewall
        self._labeller = labeller
        self._items: defaultdict[str, list[Written]] = defaultdict(list)
        self._fallen: defaultdict[str, Counter[str]] = defaultdict(Counter)  # why items of a label were left out
        self._unpaid: set[str] = set()  # labels that the budget did not cover
        self.quarantined: list[dict[str, Any]] = []  # held-out items again; without their text, for it is held out
        self.rungs: Counter[Rung] = Counter()
        self.unwilling: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self._passed = 0
        self._fresh: list[Labelled] = []  # taken, and not voted on

    def write(self, order: Order, attempt: int = 1) -> list[Written]:
        """Items in the order of labels and calls; fewer than asked when the rounds are used up."""
        for sample in range(ROUNDS * patience(attempt)):
            # What the teacher refused to write is not asked for again.
            missing = {
                label: max(0, quota - len(self._items[label]) - self._refused[label])
                for label, quota in order.quotas.items()
            }
            # Items do not depend on the attempt, unless earlier ones came to nothing at all.
            if not any(missing.values()) or (sample >= ROUNDS and any(self._items.values())):
                break
            if not self._round(order, missing, sample):
                log.warning("%s: the budget covers no further call", order.name)
                break
        if short := self.told(order.quotas):
            log.warning("%s: short of %s after %d replies", order.name, short, sum(self.rungs.values()))
        log.info("%s: replies %s, rejected %s", order.name, dict(self.rungs), dict(self.rejected))
        if self.quarantined:
            log.warning("%s: %d items were held-out ones: %s", order.name, len(self.quarantined), dict(self.leaks))
        return [item for label in order.quotas for item in self._items[label]]

    def report(self, quotas: Mapping[str, int]) -> dict[str, Any]:
        """What became of the replies, for the step's own file."""
        short = self.shortages(quotas)
        return {
            "asked": dict(quotas),
            "short": {label: entry.missing for label, entry in short.items()},
            "shortWhy": {label: entry.reason for label, entry in short.items()},
            "rejected": dict(sorted(self.rejected.items())),
            "quarantined": dict(sorted(self.leaks.items())),
            "replies": dict(sorted(self.rungs.items())),
            "refusedByLabel": dict(sorted(self.unwilling.items())),
            **({} if self._labeller is None else {"labels": self._labeller.report()}),
        }

    def shortages(self, quotas: Mapping[str, int]) -> dict[str, Shortage]:
        """What is missing of each label, and why."""
        missing = {label: quota - len(self._items[label]) for label, quota in quotas.items()}
        return {label: Shortage(count, self._why(label)) for label, count in missing.items() if count}

    def told(self, quotas: Mapping[str, int]) -> str:
        """The shortages in words."""
        found = self.shortages(quotas).items()
        return ", ".join(f"{label} {short.missing} ({short.reason})" for label, short in found)

    def short(self, quotas: Mapping[str, int]) -> dict[str, dict[int, int]]:
        """The shortages as figures have them: by reason, what is missing of each label by its place in the quotas."""
        found: defaultdict[str, dict[int, int]] = defaultdict(dict)
        shortages = self.shortages(quotas)
        for place, label in enumerate(quotas):
            if label in shortages:
                found[shortages[label].reason][place] = shortages[label].missing
        return dict(found)

    def _why(self, label: str) -> str:
        if self._refused[label]:
            return "Refused"
        if label in self._unpaid:
            return "Budget"
        fallen = self._fallen[label]
        return max(sorted(fallen), key=lambda reason: fallen[reason]) if fallen else "RoundsUsed"

    @property
    def rejected(self) -> Counter[str]:
        """How many items did not fit, carried another label, were there before, or were too many."""
        return sum(self._fallen.values(), Counter[str]()) - self.leaks

    @property
    def replies(self) -> Counter[Rung]:
        """How the replies were read, to orders and to votes."""
        return self.rungs + (Counter[Rung]() if self._labeller is None else self._labeller.rungs)

    @property
    def leaks(self) -> Counter[str]:
        """How many of the teacher's items were held-out ones, by reason."""
        return Counter(str(entry["reason"]) for entry in self.quarantined)

    @property
    def checked(self) -> int:
        """How many items were compared with held-out ones."""
        return len(self.quarantined) + self._passed

    def _round(self, order: Order, missing: Mapping[str, int], sample: int) -> bool:
        """One call for each portion of what is missing. False when the budget did not cover all of them."""
        calls = calls_of(order, missing, sample)
        for first in range(0, len(calls), CALLS_A_TURN):
            told = partial(_tell, order, sum(missing.values()), first, len(calls))
            affordable = self._turn(order, calls[first : first + CALLS_A_TURN], told)
            self._vote(f"{order.name} {order.slot}/{sample}/{first}")
            if not affordable:
                return False
        return True

    def _turn(self, order: Order, calls: Sequence[_Call], told: Callable[[int], None]) -> bool:
        """Ask some calls and take what is good. False when the budget did not cover all of them."""
        replies = self._teacher.ask([question for _, _, question in calls], told)
        reads = [None if reply is None else read_items(reply, order.name, FIELDS) for reply in replies]
        mended = self._repair(order, calls, replies, reads)
        for (label, part, _), read in zip(calls, mended, strict=True):
            if read is None:
                self._unpaid.add(label)
                continue
            self.rungs[read.rung] += 1
            if read.rung in UNWILLING:
                self.unwilling[label] += 1
                self._refused[label] += part
            for item in read.items:
                self._take(label, item, order.quotas[label])
        return None not in replies

    def _vote(self, slot: str) -> None:
        """What the votes do not confirm is out, and makes room for what is asked for next."""
        fresh, self._fresh = self._fresh, []
        out = self._labeller.voted_out(fresh, slot) if self._labeller is not None else set[str]()
        for label, items in self._items.items():
            self._items[label] = [item for item in items if item.id not in out]
            if gone := len(items) - len(self._items[label]):
                self._fallen[label][VOTED_OUT] += gone

    def _repair(
        self,
        order: Order,
        calls: Sequence[_Call],
        replies: Sequence[Reply | None],
        reads: Sequence[Read | None],
    ) -> list[Read | None]:
        """The last rung: one further call puts a reply that cannot be read into JSON."""
        mended = list(reads)
        questions: dict[int, Question] = {}
        for place, ((_, _, asked), reply, read) in enumerate(zip(calls, replies, reads, strict=True)):
            if reply is None or read is None or read.rung != "none" or len(reply.text) > MOST_REPAIRED:
                continue
            variables = {"name": order.name, "broken": without_reasoning(reply.text)}
            questions[place] = Question(order.repair, variables, f"{asked.slot}/repair", asked.sample, asked.shape)
        for place, reply in zip(questions, self._teacher.ask(list(questions.values())), strict=True):
            read = None if reply is None else read_items(reply, order.name, FIELDS)
            if read is not None and read.items and read.rung not in UNWILLING:
                mended[place] = Read(read.items, "repaired")
        return mended

    def _take(self, label: str, item: Mapping[str, Any], quota: int) -> None:
        question, answer = item.get("question"), item.get("answer")
        fault = self._schemas.fault(question, answer)
        if fault is not None:
            self._fallen[label][fault.kind] += 1
            return
        try:
            asked, identity = question_id(question or {}), item_id(question or {}, answer or {})
            leak = self._firewall.leak(question or {})
        except (RecursionError, ValueError):  # half a surrogate pair, or nested too deeply to be written
            self._fallen[label]["Unusable"] += 1
            return
        if leak is not None:
            self._fallen[label][leak.reason] += 1
            self.quarantined.append({"id": identity, "label": label, **asdict(leak)})
            return
        self._passed += 1
        if (answer or {})[self._label_path] != label and self._labeller is not None:
            self._fallen[label]["OtherLabel"] += 1
        elif asked in self._known:
            self._fallen[label]["Duplicate"] += 1
        elif len(self._items[label]) >= quota:
            self._fallen[label]["Surplus"] += 1
        else:
            self._known.add(asked)
            self._items[label].append(Written(identity, question or {}, answer or {}))
            self._fresh.append(Labelled(identity, question or {}, label))


def calls_of(order: Order, missing: Mapping[str, int], sample: int = 0) -> list[tuple[str, int, Question]]:
    """One call for each portion of what is missing: label, count and question."""
    numbered: list[tuple[int, str, int, Question]] = []
    for label, count in missing.items():
        for place, part in enumerate(portions(count * (TOP_UP if sample else 1), ITEMS_A_CALL)):
            slot = f"{order.slot}/{label}/{place}"
            variables = order.variables(label, part, f"{slot}/{sample}")
            numbered.append((place, label, part, Question(order.prompt, variables, slot, sample, order.shape)))
    # Labels in turn: where the budget ends, it ends for all alike.
    numbered.sort(key=lambda entry: entry[0])
    return [(label, part, question) for _, label, part, question in numbered]


def patience(attempt: int) -> int:
    """How many times the usual number of askings: recorded replies cost nothing, but would fail again."""
    return min(attempt, 3)


def _tell(order: Order, missing: int, before: int, calls: int, done: int) -> None:
    total = sum(order.quotas.values())
    count = total - missing + missing * (before + done) // calls
    log.info("progress %s %d/%d %s", order.name, count, total, order.unit)
