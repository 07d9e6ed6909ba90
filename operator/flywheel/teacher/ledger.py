"""The ledger of teacher calls, by content: an intent before each call, the reply before its use.

A call whose reply is recorded is never paid again, whoever asks. Must not know how a call is made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import ValidationError

from flywheel.api.conditions import Reason
from flywheel.api.model import Open
from flywheel.workspace.digest import canonical_json, digest_bytes, digest_json
from flywheel.workspace.program import FruitlessError
from flywheel.workspace.store import Workspace


@dataclass(frozen=True)
class Call:
    """Everything that a reply depends on. Slot and sample keep calls apart that would else be the same."""

    template: str
    variables: dict[str, Any]
    model: str
    parameters: dict[str, Any]
    purpose: str
    slot: str
    sample: int
    seed: int

    @property
    def key(self) -> str:
        """Hex digest of the call: its name in the ledger."""
        return digest_json(vars(self)).removeprefix("sha256:")

    @property
    def mark(self) -> str:
        """Sets data apart in the prompt: looks random, and is the same when the call is made again."""
        return digest_bytes(f"mark {self.key}".encode()).removeprefix("sha256:")[:16]


class Intent(Open):
    """Written before a call: what it is, and the most it can cost.

    `lost`: earlier requests of this call that were cut off, perhaps paid. `begun`: one is under way, or was cut off.
    """

    purpose: str
    slot: str
    sample: int
    model: str
    template: str
    payer: str
    most_input_tokens: int
    most_output_tokens: int
    lost: int = 0
    begun: bool = True


class Reply(Open):
    """Written before its use: what the teacher said. `payer` is the step that paid for it.

    `metered`: the endpoint said what it used; else it is charged as reserved. Cached tokens are among the input.
    """

    text: str
    finish_reason: str
    model: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    metered: bool = True
    payer: str = ""


# Why a reply ended, where the endpoint or its filter would not; the first is ours, for a refusal in a field of its own.
REFUSAL, FILTERED = "refusal", "content_filter"
Entry = TypeVar("Entry", Intent, Reply)


class NotRecordedError(Exception):
    """A call that a repeated step makes and that was never recorded."""


class Ledger:
    """Calls of one namespace, in `<folder>/<first two digits>/<key>.{intent,reply}.json`."""

    def __init__(self, workspace: Workspace, folder: str) -> None:
        self._workspace = workspace
        self._folder = folder

    def recorded(self, key: str) -> Reply | None:
        """The reply of a call that was paid before. Raises FruitlessError for an entry that cannot be read."""
        return self._read(self._path(key, "reply"), Reply)

    def intended(self, key: str) -> Intent | None:
        """The intent of a call that was begun before: without a reply it was cut off, and perhaps paid."""
        return self._read(self._path(key, "intent"), Intent)

    def _read(self, path: str, kind: type[Entry]) -> Entry | None:
        try:
            return kind.model_validate_json(self._workspace.read_bytes(path))
        except FileNotFoundError:
            return None
        except ValidationError as error:
            text = f"{path} cannot be read: restore it, or remove it and that call is paid again"
            raise FruitlessError(text, Reason.LEDGER_DAMAGED) from error

    def intend(self, key: str, intent: Intent) -> None:
        """Put the intent on disk."""
        self._write(key, "intent", intent)

    def withdraw(self, key: str, intent: Intent) -> None:
        """Take back the intent of a request that the endpoint refused: nothing was paid for it."""
        if intent.lost:
            self._write(key, "intent", intent.model_copy(update={"begun": False}))
        else:
            self._workspace.unlink(self._path(key, "intent"))

    def record(self, key: str, reply: Reply) -> None:
        """Put the reply on disk."""
        self._write(key, "reply", reply)

    def _write(self, key: str, kind: str, entry: Open) -> None:
        self._workspace.write_bytes(self._path(key, kind), canonical_json(entry.to_json_object()) + b"\n")

    def _path(self, key: str, kind: str) -> str:
        return f"{self._folder}/{key[:2]}/{key}.{kind}.json"


class RecordedLedger(Ledger):
    """A ledger that is only read: a call that is not in it is an error."""

    def intend(self, key: str, intent: Intent) -> None:
        """Raises NotRecordedError: nothing may be asked."""
        words = f"the call {intent.purpose}, {intent.slot}, sample {intent.sample} is not in the ledger ({key[:12]})"
        raise NotRecordedError(f"{words}: its template, its material or the reply's file differ")
