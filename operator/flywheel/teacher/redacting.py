"""The one place where what goes into a prompt is redacted: every variable but those that replies are checked by."""

from __future__ import annotations

from collections import Counter
from typing import Any

from flywheel.data.redaction import Redactor

# The task's own words, which the owner wrote for the teacher to repeat.
_TASK = ("input_schema", "output_schema", "label_path", "labels", "label", "count")


def prompt_variables(variables: dict[str, Any], redactor: Redactor) -> tuple[dict[str, Any], Counter[str]]:
    """The variables as the teacher may see them, and how many replacements of which kind."""
    fixed = {name: value for name, value in variables.items() if name in _TASK}
    redacted, counts = redactor.redacted({name: value for name, value in variables.items() if name not in _TASK})
    return {**fixed, **redacted}, counts
