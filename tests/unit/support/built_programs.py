"""Programs that tools/cluster builds once, into the user's cache."""

from __future__ import annotations

import functools
import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


@functools.cache
def programs(target: str) -> Path:
    """Their folder, with what `cluster TARGET` builds; CalledProcessError with the reason where it cannot."""
    subprocess.run([ROOT / "tools/cluster/cluster", target], check=True, capture_output=True, text=True)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "flywheel/bin"
