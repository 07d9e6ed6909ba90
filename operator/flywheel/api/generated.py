"""Files that are made from sources: written, or with --check compared with what they would be."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path


def write_or_check(made: Mapping[Path, str], source: str, *, check: bool) -> None:
    """Write the files, or end the process, with what to do, where one differs from what `source` gives now."""
    for path, text in made.items():
        if check and (not path.is_file() or path.read_text() != text):
            sys.exit(f"{path} differs from {source}: run `make generate` and commit the result")
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
