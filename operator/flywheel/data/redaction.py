"""Redaction: secrets, e-mail addresses, hosts and names become surrogates of the same shape.

Letters stay letters and digits digits, so that neither the teacher nor the student learns from a gap. The same text has
the same surrogate everywhere, by a keyed hash. detect-secrets looks at line by line; what was found once is replaced
everywhere. Must not know prompts or files; says how many, never what.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import string
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any, cast

from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
from detect_secrets.plugins.base import BasePlugin, RegexBasedDetector
from detect_secrets.plugins.high_entropy_strings import HighEntropyStringsPlugin
from detect_secrets.plugins.ip_public import IPPublicDetector
from detect_secrets.plugins.keyword import KeywordDetector
from detect_secrets.plugins.private_key import PrivateKeyDetector

from flywheel.api.privacy import Redact
from flywheel.data.normalise import texts

SHORTEST = 4  # characters; a shorter "secret" would be found in every other word
_SHOWN = 4  # first characters of a long secret that stay: its kind, such as AKIA
_LONG = 16
_EMAIL = re.compile(r"[\w.+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+")
_ADDRESS = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w.])")
_TOKEN = re.compile(r"[\w.+/=-]+")
_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----(.+?)(?:-----END|\Z)", re.DOTALL)


class Redactor:
    """Replaces by a Curriculum's rules. `keep`: words that mean something to the task, such as its labels."""

    def __init__(self, rules: Redact, key: str, keep: frozenset[str] = frozenset()) -> None:
        self._rules = rules
        self._key = key.encode()
        self._keep = keep
        hosts = "|".join(re.escape(domain) for domain in rules.hosts)
        names = "|".join(re.escape(name) for name in sorted(rules.names, key=len, reverse=True))
        self._patterns: list[tuple[str, re.Pattern[str]]] = []
        if rules.emails:
            self._patterns.append(("emails", _EMAIL))
        if hosts:
            self._patterns.append(("hosts", re.compile(rf"(?<![\w-])(?:[\w-]+\.)*(?:{hosts})(?![\w-])", re.IGNORECASE)))
            self._patterns.append(("hosts", _ADDRESS))
        if names:
            self._patterns.append(("names", re.compile(rf"(?<!\w)(?:{names})(?!\w)", re.IGNORECASE)))

    def redacted(self, value: Any) -> tuple[Any, Counter[str]]:
        """The JSON value with every text redacted, and how many replacements of which kind."""
        counts: Counter[str] = Counter()
        found = {secret for text in texts(value) for secret in secrets(text)} if self._rules.secrets else set[str]()
        found = {secret for secret in found if len(secret) >= SHORTEST and secret not in self._keep}
        # The longest first: one secret may be part of another.
        known = "|".join(re.escape(secret) for secret in sorted(found, key=lambda secret: (-len(secret), secret)))
        known_secrets = re.compile(rf"(?<![A-Za-z0-9])(?:{known})(?![A-Za-z0-9])") if known else None

        def replaced(kind: str) -> Callable[[re.Match[str]], str]:
            def surrogate(match: re.Match[str]) -> str:
                if match.group() in self._keep:
                    return match.group()
                counts[kind] += 1
                return self._surrogate(match.group(), kind)

            return surrogate

        def text_of(text: str) -> str:
            if known_secrets is not None:
                text = known_secrets.sub(replaced("secrets"), text)
            for kind, pattern in self._patterns:
                text = pattern.sub(replaced(kind), text)
            return text

        return _mapped(value, text_of), counts

    def _surrogate(self, text: str, kind: str) -> str:
        shown = _SHOWN if kind == "secrets" and len(text) >= _LONG else 0
        # In any case: a name at the start of a sentence is the same name.
        stream = _stream(self._key, (text if kind == "secrets" else text.lower()).encode())
        return text[:shown] + "".join(_alike(char, next(stream)) for char in text[shown:])


def _alike(char: str, byte: int) -> str:
    for letters in (string.ascii_lowercase, string.ascii_uppercase, string.digits):
        if char in letters:
            return letters[byte % len(letters)]
    return char if not char.isalnum() else string.ascii_lowercase[byte % 26]


def _stream(key: bytes, text: bytes) -> Iterator[int]:
    block = 0
    while True:
        yield from hmac.new(key, block.to_bytes(4, "big") + text, hashlib.sha256).digest()
        block += 1


@lru_cache(maxsize=1)
def _plugins() -> tuple[BasePlugin, ...]:
    kinds = get_mapping_from_secret_type_to_class().values()
    # Addresses are hosts, and a private key is more than the line above it.
    return tuple(kind() for kind in kinds if kind not in (IPPublicDetector, PrivateKeyDetector))


@lru_cache(maxsize=4096)
def secrets(text: str) -> frozenset[str]:
    """The secrets in a text, as they stand there."""
    # Its lines, for as it stands in the text is also how it is replaced.
    found = {line for body in _PRIVATE_KEY.findall(text) for line in re.findall(r"[A-Za-z0-9+/=]{8,}", body)}
    for line in text.splitlines():
        for plugin in _plugins():
            if isinstance(plugin, HighEntropyStringsPlugin):
                values = (value for value in plugin.analyze_string(line) if len(value) >= _LONG)
                found.update(
                    value for value in values if plugin.calculate_shannon_entropy(value) > plugin.entropy_limit
                )
                continue
            found.update(plugin.analyze_string(line))
            if isinstance(plugin, RegexBasedDetector) and not isinstance(plugin, KeywordDetector):
                # Its values are sometimes only the beginning of what it recognised.
                patterns = cast("list[re.Pattern[str]]", plugin.denylist)  # pyright: ignore[reportUnknownMemberType]
                for match in (match for pattern in patterns for match in pattern.finditer(line)):
                    rest = _TOKEN.match(line, match.end()) if _TOKEN.fullmatch(match.group()[-1:]) else None
                    found.add(match.group() + (rest.group() if rest else ""))
    return frozenset(found)


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {key: _mapped(entry, change) for key, entry in cast("Mapping[str, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [_mapped(entry, change) for entry in cast("list[Any]", value)]
    return value
