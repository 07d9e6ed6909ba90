"""Manifests against the types of the CRDs, without a cluster: text in, faults out.

The types hold the same limits as the CRDs, and every CEL rule that looks at one object only. What compares an object
with an older one, or with other objects in the cluster, only the cluster knows: NOT_CHECKED.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

import yaml
from pydantic import BaseModel, TypeAdapter, ValidationError

from flywheel.api.adapterdeployment import AdapterDeployment
from flywheel.api.crd import GROUP, VERSION
from flywheel.api.curriculum import Curriculum
from flywheel.api.flywheelrun import FlywheelRun
from flywheel.api.model import ObjectName, Open

NOT_CHECKED = (
    "what may change once the object exists (immutable fields; what is fixed once iteration 1 has begun)",
    "Secrets, ConfigMaps, PersistentVolumeClaims, Services and images that are named: whether they exist",
    "quotas, admission policies and rights in the cluster",
    "the data: whether sources fit the schemas (flywheel preview and flywheel estimate read it)",
)
_KINDS: dict[str, type[BaseModel]] = {
    "Curriculum": Curriculum,
    "FlywheelRun": FlywheelRun,
    "AdapterDeployment": AdapterDeployment,
}
_TOP = {"apiVersion", "kind", "metadata", "spec", "status"}
_NAME: TypeAdapter[str] = TypeAdapter(ObjectName)
Path = tuple[str | int, ...]


class Fault(Open):
    """What the API server would refuse, and where."""

    file: str
    line: int
    document: int
    object: str
    field: str
    message: str

    def __str__(self) -> str:
        about = " ".join(part for part in (self.object, self.field) if part)
        return (
            f"{self.file}:{self.line}: document {self.document}" + (f", {about}" if about else "") + f": {self.message}"
        )


class Linted(Open):
    """What came of some files."""

    checked: int
    others: int
    faults: list[Fault]
    not_checked: list[str]


def lint(files: Sequence[tuple[str, str]]) -> Linted:
    """Of files, by name and text."""
    faults: list[Fault] = []
    seen: dict[tuple[str, str, str], str] = {}
    checked = others = 0
    for name, text in files:
        try:
            nodes = list(yaml.compose_all(text, yaml.SafeLoader))
            documents = list(yaml.safe_load_all(text))
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            line = mark.line + 1 if mark is not None else 1
            words = f"is not YAML: {getattr(error, 'problem', None) or error}"
            faults.append(Fault(file=name, line=line, document=1, object="", field="", message=words))
            continue
        for number, (node, document) in enumerate(zip(nodes, documents, strict=True), start=1):
            if not _is_ours(document):
                others += document is not None
                continue
            checked += 1
            about = _Document(name, number, cast("dict[str, Any]", document), node)
            faults += about.faults()
            faults += about.twice(seen)
    return Linted(checked=checked, others=others, faults=faults, not_checked=list(NOT_CHECKED))


def _is_ours(document: object) -> bool:
    if not isinstance(document, dict):
        return False
    version, kind = (str(cast("dict[str, Any]", document).get(name)) for name in ("apiVersion", "kind"))
    return version.startswith(f"{GROUP}/") or kind in _KINDS


class _Document:
    """One of our objects in a file."""

    def __init__(self, file: str, number: int, value: dict[str, Any], node: Any) -> None:
        self._file, self._number, self._value, self._node = file, number, value, node
        metadata = value.get("metadata")
        self._metadata = cast("dict[str, Any]", metadata) if isinstance(metadata, dict) else {}
        self._object = " ".join(str(part) for part in (value.get("kind"), self._metadata.get("name")) if part)

    def faults(self) -> Iterator[Fault]:
        """All of this document."""
        yield from (self._fault(path, words) for path, words in _doubles(self._node, ()))
        version, kind = self._value.get("apiVersion"), str(self._value.get("kind"))
        if version != f"{GROUP}/{VERSION}":
            yield self._fault(("apiVersion",), f"is {version}, this flywheel knows {GROUP}/{VERSION}")
            return
        if (model := _KINDS.get(kind)) is None:
            yield self._fault(("kind",), f"is {kind}, which is none of {', '.join(_KINDS)}")
            return
        for unknown in sorted({str(name) for name in self._value} - _TOP):
            yield self._fault((unknown,), "unknown field")
        yield from self._of_name()
        try:
            model.model_validate({name: entry for name, entry in self._value.items() if name != "status"})
        except ValidationError as error:
            for fault in error.errors():
                yield self._fault(tuple(fault["loc"]), _words(fault["type"], fault["msg"]))

    def twice(self, seen: dict[tuple[str, str, str], str]) -> Iterator[Fault]:
        """Whether the same object is in these files already. Without a namespace: in its file, others get another."""
        kind, name = str(self._value.get("kind")), str(self._metadata.get("name"))
        key = (kind, str(self._metadata.get("namespace") or f"of {self._file}"), name)
        if key in seen:
            yield self._fault(("metadata", "name"), f"the same object is in {seen[key]}")
        else:
            seen[key] = f"{self._file}, document {self._number}"

    def _of_name(self) -> Iterator[Fault]:
        name = self._metadata.get("name")
        if name is None:  # the type says so
            return
        try:
            _NAME.validate_python(name)
        except ValidationError:
            yield self._fault(("metadata", "name"), f"{name!r} is no name: lower case letters, digits, '-' and '.'")

    def _fault(self, path: Path, message: str) -> Fault:
        return Fault(
            file=self._file,
            line=_line(self._node, path),
            document=self._number,
            object=self._object,
            field=_dotted(path),
            message=message,
        )


def _words(kind: str, message: str) -> str:
    if kind == "extra_forbidden":
        return "unknown field"
    if kind == "missing":
        return "is required"
    return message.removeprefix("Value error, ")


def _dotted(path: Path) -> str:
    """As the API server writes it: spec.sources[0].name."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")


def _line(node: Any, path: Path) -> int:
    """Where the field is, or else what it should be in."""
    found = int(node.start_mark.line) + 1
    for part in path:
        if isinstance(node, yaml.MappingNode):
            pair = next(((key, value) for key, value in node.value if key.value == part), None)
            if pair is None:
                break
            found, node = int(pair[0].start_mark.line) + 1, pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            found = int(node.start_mark.line) + 1
        else:
            break
    return found


def _doubles(node: Any, path: Path) -> Iterator[tuple[Path, str]]:
    """Keys that are there twice: YAML keeps the last, the API server refuses them."""
    if isinstance(node, yaml.MappingNode):
        keys = [str(key.value) for key, _ in node.value]
        yield from (((*path, key), "is there twice") for key in sorted({key for key in keys if keys.count(key) > 1}))
        for key, value in node.value:
            yield from _doubles(value, (*path, str(key.value)))
    elif isinstance(node, yaml.SequenceNode):
        for place, value in enumerate(node.value):
            yield from _doubles(value, (*path, place))
