"""From a finding to what a reviewer would write: topics, labels and wordings of rules/*.yaml.

Knows the table of rules. Knows nothing of packages or tools.
"""

import hashlib
import string
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import yaml

Choice = TypeVar("Choice")

LABELS = ("critical", "major", "minor", "trivial")
OPENERS = ("", "", "", "", "Here: ", "One thing: ", "Line {line}: ", "Looking at this part: ", "In {unit}: ", "Hm. ")
CLOSERS = ("", "", "", "", "", " Could you change that?", " What do you think?", " Applies to other places too.")


@dataclass(frozen=True)
class Topic:
    name: str
    label: str
    held_out: bool  # appears in validation and test only
    rules: tuple[str, ...]
    wordings: tuple[str, ...]


def topics() -> list[Topic]:
    return [topic for label in LABELS for topic in _topics(label)]


def _topics(label: str) -> list[Topic]:
    table = yaml.safe_load((Path(__file__).parent / "rules" / f"{label}.yaml").read_text(encoding="utf-8"))
    return [
        Topic(row["topic"], label, row.get("heldOut", False), tuple(row["rules"]), tuple(row["wordings"]))
        for row in table
    ]


def word(topic: Topic, key: str, role: str, fields: dict[str, str | None]) -> str | None:
    """A review of the finding: the same for the same key, None where no wording's gaps can be filled.

    The teacher never uses a topic's last wording and the source never its first, so each has words of its own.
    """
    known = {name: _quoted(name, value, key) for name, value in fields.items() if value}
    own = topic.wordings[:-1] if role == "teacher" else topic.wordings[1:]
    usable = [wording for wording in own if _gaps(wording) <= known.keys()]
    if not usable:
        return None
    body = _pick(usable, key, "body").format(**known)
    opener = _pick([opener for opener in OPENERS if _gaps(opener) <= known.keys()], key, "opener").format(**known)
    return opener + body[0].upper() + body[1:] + _pick(CLOSERS, key, "closer")


def rule_table() -> str:
    """The published table: which rule means which severity."""
    lines = ["| severity | topic | rules | held-out pools only |", "|---|---|---|---|"]
    for topic in topics():
        rules = ", ".join(rule.replace(":", " ") for rule in topic.rules)
        lines.append(f"| {topic.label} | {topic.name} | {rules} | {'yes' if topic.held_out else ''} |")
    return "\n".join(lines)


def _quoted(name: str, value: str, key: str) -> str:
    shown = value + "()" if name == "call" and _pick((True, False), key, "brackets") else value
    return f"`{shown}`" if name != "line" and _pick((True, False), key, "ticks") else shown


def _gaps(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def _pick(choices: Sequence[Choice], key: str, purpose: str) -> Choice:
    digest = hashlib.sha256(f"{key}\0{purpose}".encode()).digest()
    return choices[int.from_bytes(digest[:8], "big") % len(choices)]
