"""Generates docs/api/*.md from the CRDs: every field with type, limits and when it may change. Run by `make generate`.

Knows nothing of the types but what their CRD says, so that the reference and what an API server checks are one.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from flywheel.api.crd import Schema, all_crds
from flywheel.api.generated import write_or_check
from flywheel.api.model import IMMUTABLE

_FROZEN = re.compile(r"^(spec\.[A-Za-z.]+) is fixed once iteration 1 has begun")
_CHANGES = {
    "Curriculum": "A change makes a new revision. Runs that have begun keep theirs.",
    "FlywheelRun": "A change counts from the next decision on, or from the next Job, where it is about the pod, the"
    " teacher or what a step is told. Once a run has ended nothing changes anything.",
    "AdapterDeployment": "A change counts from the next look on, within a minute.",
}
_BOUNDS = (("minimum", "maximum", ""), ("minLength", "maxLength", " characters"), ("minItems", "maxItems", " entries"))


class _Page:
    """One kind's page: a section for each object, equal ones once."""

    def __init__(self, kind: str, rules: list[Schema]) -> None:
        self.sections: list[str] = []
        self._anchors: dict[str, str] = {}
        self._names: dict[str, str] = {}
        self._rules = rules
        self._frozen = {match[1] for rule in rules if (match := _FROZEN.match(rule["message"]))}
        self._kind = kind

    def section(self, path: str, schema: Schema, change: str) -> str:
        """Write the section of an object and of those below it; the link that leads there."""
        place = len(self.sections)
        rows = [self._row(path, name, entry, name in schema.get("required", []), change) for name, entry in
                cast("dict[str, Schema]", schema["properties"]).items()]  # fmt: skip
        spec = path.startswith("spec")
        head = "| field | type | meaning | limits |" + (" may change |\n" if spec else "\n")
        table = head + re.sub(r"[^|\n]+", "---", head) + "".join(rows)
        rules = "".join(f"- {words}\n" for words in _rules(schema) if words != IMMUTABLE["message"])
        body = table + (f"\nMust hold:\n\n{rules}" if rules else "")
        same = re.sub(r"\[(object|as [^\]]*)\]", "", body)
        if same not in self._anchors:
            about = f"{schema['description']}\n\n" if "description" in schema else ""
            self.sections.insert(place, f"{'##' if path in ('spec', 'status') else '###'} {path}\n{about}{body}")
            self._anchors[same] = f"[as {path}](#{self._anchor(path)})"
            return f"[object](#{self._anchor(path)})"
        del self.sections[place:]
        return self._anchors[same]

    def _anchor(self, path: str) -> str:
        """As GitHub names a heading."""
        anchor = re.sub(r"[^a-z0-9_-]", "", path.lower())
        if self._names.setdefault(anchor, path) != path:
            raise ValueError(f"{self._names[anchor]} and {path} have one anchor")
        return anchor

    def _row(self, path: str, name: str, entry: Schema, required: bool, change: str) -> str:
        here = f"{path}.{name}"
        if IMMUTABLE["message"] in _rules(entry):
            change = "never"
        elif here in self._frozen:
            change = "until iteration 1"
        limits = (["required"] if required else []) + list(_limits(entry))
        about = cast(str, entry.get("description", ""))
        if (only := _only(entry)) is not None:
            kind = f"`{{{only}}}`"
            if only not in ("name", "claimName"):
                about += f" {only}: {entry['properties'][only]['description']}"
            limits += _limits(cast(Schema, entry["properties"][only]))
        else:
            kind = self._type(here, entry, change)
        if change == "yes" and kind.startswith("["):
            change = "see there"
        changes = f" {change} |" if path.startswith("spec") else ""  # the operator's own writes need no rule
        words = [about, *(f"Must hold: {words}." for words in self._own(entry))]
        return f"| `{name}` | {kind} | {_cell(' '.join(words))} | {'; '.join(limits)} |{changes}\n"

    @staticmethod
    def _own(entry: Schema) -> list[str]:
        """Rules of a field that has no section of its own."""
        return [] if "properties" in entry else [words for words in _rules(entry) if words != IMMUTABLE["message"]]

    def _type(self, path: str, entry: Schema, change: str) -> str:
        if "enum" in entry:
            return ", ".join(f"`{value}`" for value in entry["enum"])
        if "properties" in entry:
            return self.section(path, entry, change)
        if "items" in entry:
            return "list of " + self._type(f"{path}[]", cast(Schema, entry["items"]), change)
        if isinstance(entry.get("additionalProperties"), dict):
            return "map to " + self._type(f"{path}.*", cast(Schema, entry["additionalProperties"]), change)
        if entry.get("x-kubernetes-int-or-string"):
            return "quantity"
        return "time" if entry.get("format") == "date-time" else cast(str, entry["type"])

    def render(self, crd: Schema) -> str:
        """The page."""
        version = crd["spec"]["versions"][0]
        root, names = version["schema"]["openAPIV3Schema"], crd["spec"]["names"]
        for part in ("spec", "status"):
            self.section(part, root["properties"][part], "yes")
        columns = "".join(
            f"| {column['name']}{' (`-o wide`)' if column.get('priority') else ''} | `{column['jsonPath']}` |"
            f" {column['description']} |\n"
            for column in version["additionalPrinterColumns"]
        )
        rules = "".join(f"- {rule['message']}\n" for rule in self._rules)
        return (
            f"# {self._kind}\n\n<!-- Generated by `make generate` from operator/flywheel/api. Do not edit. -->\n\n"
            f"{root['description']}\n\n`apiVersion: {crd['spec']['group']}/{version['name']}`, `kind: {self._kind}`;"
            f" `kubectl get {names['shortNames'][0]}`.\n\n{_CHANGES[self._kind]}\n\n"
            + "\n".join(self.sections)
            + (f"\n## Rules over all of it\n{rules}" if rules else "")
            + f"\n## Columns of kubectl get\n| column | path | |\n|---|---|---|\n{columns}"
        )


def _only(entry: Schema) -> str | None:
    """The one field of an object that has no more, such as a reference: not worth a section."""
    fields = cast("dict[str, Schema]", entry.get("properties", {}))
    return next(iter(fields)) if len(fields) == 1 and all("type" in f and _plain(f) for f in fields.values()) else None


def _plain(entry: Schema) -> bool:
    return entry["type"] not in ("object", "array") and "enum" not in entry


def _rules(schema: Schema) -> list[str]:
    """Messages of the CEL rules, each once."""
    return list(dict.fromkeys(rule["message"] for rule in schema.get("x-kubernetes-validations", [])))


def _limits(entry: Schema, each: str = "") -> Iterator[str]:
    if "default" in entry:
        yield f"default `{str(entry['default']).lower() if isinstance(entry['default'], bool) else entry['default']}`"
    for low, high, what in _BOUNDS:
        least, most = entry.get(low), entry.get(high)
        if least is not None and most is not None:
            yield f"{each}{least} to {most}{what}"
        elif most is not None:
            yield f"{each}at most {most}{what}"
        elif least is not None:
            yield f"{each}at least {least}{what}"
    if "maxProperties" in entry:
        yield f"at most {entry['maxProperties']} entries"
    if "pattern" in entry:
        yield f"{each}`{_cell(entry['pattern'])}`"
    for below in ("items", "additionalProperties"):
        if isinstance(entry.get(below), dict) and "properties" not in entry[below]:
            yield from _limits(cast(Schema, entry[below]), "each ")


def _cell(text: str) -> str:
    """Text within a table's cell."""
    return " ".join(text.split()).replace("|", "\\|")


def pages() -> dict[str, str]:
    """File name to text."""
    found: dict[str, str] = {}
    for crd in all_crds().values():
        kind = cast(str, crd["spec"]["names"]["kind"])
        root = cast("dict[str, Any]", crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"])
        page = _Page(kind, cast("list[Schema]", root.get("x-kubernetes-validations", [])))
        found[f"{kind.lower()}.md"] = page.render(crd)
    return found


def main() -> None:
    """Write every page into the folder given, or fail with --check when a file would change."""
    folder, check = Path(sys.argv[1]), "--check" in sys.argv
    write_or_check({folder / name: text for name, text in pages().items()}, "operator/flywheel/api", check=check)


if __name__ == "__main__":
    main()
