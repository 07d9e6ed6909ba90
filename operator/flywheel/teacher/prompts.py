"""Prompt templates: Jinja2 in a sandbox, with data as JSON between marked lines.

A template is known by its digest. Must not know what the words mean or who is asked.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from flywheel.workspace.digest import digest_bytes
from flywheel.workspace.program import BadInputError

PROMPTS_VARIABLE = "FLYWHEEL_PROMPTS"
# What a template can bring about besides Jinja's own errors.
_RENDERING = (TemplateError, TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RecursionError)


class BadPromptError(BadInputError):
    """A template that is missing, or does not render with what it is given."""


@dataclass(frozen=True)
class Prompt:
    """A template's text under its name."""

    name: str
    text: str

    @property
    def digest(self) -> str:
        """What the ledger and manifests know the template by."""
        return digest_bytes(self.text.encode())

    def render(self, variables: Mapping[str, Any], mark: str) -> str:
        """The words for the teacher. `mark` sets data apart: it must not be guessable from within the data."""

        def data(name: str, value: Any) -> str:
            # JSON keeps every text on one line, so no data can begin a line of its own.
            text = json.dumps(value, ensure_ascii=False, indent=1)
            return f"BEGIN DATA {name} {mark}\n{text}\nEND DATA {name} {mark}"

        try:
            return _compiled(self.text).render({**variables, "data": data, "mark": mark}).strip() + "\n"
        except _RENDERING as error:
            raise BadPromptError(f"prompts/{self.name}.j2 does not render: {error}") from error


@lru_cache(maxsize=16)  # compiling takes many times as long as rendering
def _compiled(text: str) -> Template:
    environment = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
    )
    environment.filters["tojson"] = _plain_json  # pyright: ignore[reportUnknownMemberType]
    return environment.from_string(text)


def _plain_json(value: Any) -> str:
    # Jinja's own filter writes for HTML.
    return json.dumps(value, ensure_ascii=False)


def prompts_folder() -> Path:
    """FLYWHEEL_PROMPTS, or prompts/ of the checkout that this package lies in."""
    named = os.environ.get(PROMPTS_VARIABLE)
    return Path(named) if named else Path(__file__).resolve().parents[3] / "prompts"


def load_prompt(name: str, folder: Path | None = None) -> Prompt:
    """Read a template; raises BadPromptError."""
    path = (folder or prompts_folder()) / f"{name}.j2"
    try:
        return Prompt(name, path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadPromptError(f"no template {path.name} in the prompts folder: set {PROMPTS_VARIABLE}") from error
