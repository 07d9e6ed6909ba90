"""Digests: of bytes, of JSON in its one canonical form, and of files."""

from __future__ import annotations

import hashlib
import json
from typing import Any, BinaryIO


def canonical_json(value: Any) -> bytes:
    """Sorted keys, no spaces, UTF-8: equal values have equal bytes. Raises ValueError for NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def digest_bytes(data: bytes) -> str:
    """`sha256:<hex>` of bytes."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def digest_json(value: Any) -> str:
    """`sha256:<hex>` of the canonical JSON."""
    return digest_bytes(canonical_json(value))


def digest_stream(stream: BinaryIO) -> str:
    """`sha256:<hex>` of all that a stream still holds, read in pieces."""
    hasher = hashlib.sha256()
    while chunk := stream.read(1 << 20):
        hasher.update(chunk)
    return "sha256:" + hasher.hexdigest()
