"""What makes two items the same: their text without differences of spacing or Unicode form.

Case is kept (code means it). Must not know where items come from.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any, cast

from flywheel.workspace.digest import digest_json

Fields = Mapping[str, Any]


def normalised(value: Any) -> Any:
    """The value with every text in NFKC and each run of white space as one blank."""
    if isinstance(value, str):
        return " ".join(unicodedata.normalize("NFKC", value).split())
    if isinstance(value, Mapping):
        fields = cast("Mapping[str, Any]", value)
        return {key: normalised(entry) for key, entry in fields.items()}
    if isinstance(value, list):
        return [normalised(entry) for entry in cast("list[Any]", value)]
    return value


def texts(value: Any) -> Iterator[str]:
    """Every text in a JSON value but keys, in the order of the keys' names."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        fields = cast("Mapping[str, Any]", value)
        for key in sorted(fields):
            yield from texts(fields[key])
    elif isinstance(value, list | tuple):
        for entry in cast("list[Any]", value):
            yield from texts(entry)


def item_id(question: Fields, answer: Fields) -> str:
    """Digest of the normalised input and output: the same item has the same id in every revision."""
    return digest_json([normalised(question), normalised(answer)])


def question_id(question: Fields) -> str:
    """Digest of the normalised input alone."""
    return digest_json(normalised(question))
