"""Puts the stable model into a model repository where it is not there yet: an init container's work, so that the server
itself can have the repository read-only. MODEL_NAME (several with commas between) and MODEL_REPOSITORY come from the
environment.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from secrets import token_hex

_TEMPLATE = Path(__file__).parent / "model"


def seed(repository: Path, model: str) -> None:
    """What is there is never changed: it names the adapter that serves."""
    target = repository / model
    if target.exists():
        return
    temporary = repository / f".tmp-{token_hex(6)}"
    shutil.copytree(_TEMPLATE, temporary, ignore=shutil.ignore_patterns("__pycache__"))
    config = temporary / "config.pbtxt"
    config.write_text(f'name: "{model}"\n{config.read_text()}')
    for path in (temporary, *temporary.rglob("*")):
        path.chmod(0o775 if path.is_dir() else 0o664)
    try:
        temporary.rename(target)
    except OSError:
        # Another pod of the same repository was faster.
        shutil.rmtree(temporary)


if __name__ == "__main__":
    for name in os.environ["MODEL_NAME"].split(","):
        seed(Path(os.environ["MODEL_REPOSITORY"]), name)
