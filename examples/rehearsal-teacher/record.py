"""Keeps a record of every request, so that a test can see a call that was paid twice."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from pathlib import Path
from typing import Any


class Record:
    """Requests in memory, and line by line in a file."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._entries: list[dict[str, Any]] = []

    def add(self, body: bytes, purpose: str, status: int) -> None:
        """Note a request by the digest of its body."""
        entry = {
            "digest": hashlib.sha256(body).hexdigest(),
            "time": round(time.time(), 3),
            "purpose": purpose,
            "status": status,
        }
        self._entries.append(entry)
        with self._file.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(entry) + "\n")

    def summary(self) -> dict[str, Any]:
        """How many requests were answered, and which bodies more than once."""
        answered = [entry for entry in self._entries if entry["status"] == 200]
        digests = Counter(entry["digest"] for entry in answered)
        return {
            "count": len(answered),
            "refused": len(self._entries) - len(answered),
            "duplicates": sum(times - 1 for times in digests.values()),
            "purposes": dict(sorted(Counter(entry["purpose"] for entry in answered).items())),
            "requests": self._entries,
        }
