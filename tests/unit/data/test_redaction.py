"""What is redacted is gone wherever it stood, keeps its shape, and is the same by the same."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flywheel.api.privacy import Redact
from flywheel.data.redaction import Redactor

RULES = Redact(hosts=["corp.example.com"], names=["Ada Byron", "Jacquard"])
# Made up; in pieces, so that no scanner of this repository takes them for real ones.
PLANTED = {
    "aws": ("AK" + "IAIOSFODNN7QRTZEKP", 'client = boto3.client("s3", aws_access_key_id="{}")'),
    "github": ("gh" + "p_Zk3vQx9LmT2rWb7YcN5dHs8JfG4pRa6UeXoK", "git clone https://{}@github.com/acme/x"),
    "slack": ("xo" + "xb-731846209517-402958173645-kQzWvTnRbYpLxHsCgMdJfUaE", "SLACK = '{}'"),
    "jwt": ("ey" + "JhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5NXgL0n3I9PlFUP0", "auth({})"),
    "password": ("tr0ub4dor-and-three", 'password = "{}"'),
    "url": ("s3cr3tPassw0rd", "postgres://admin:{}@localhost/db"),
    "stripe": ("sk_" + "live_4eC39HqLyjWDarjtT1zdp7dc", "stripe.api_key = '{}'"),
    "hex": ("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822c", 'key = "{}"'),
    "private": ("MIIEpAIBAAKCAQEA3Tz2mr7SZiAMfQyuvBjM9Oi", "-----BEGIN RSA PRIVATE KEY-----\n{}\n-----END RSA"),
    "email": ("ada.byron+work@example.org", "# ask {} about this"),
    "host": ("db-7.internal.corp.example.com", "connect('{}')"),
    "address": ("10.20.30.44", "listen('{}', 80)"),
    "name": ("Jacquard", "# {} wanted this"),
}


@pytest.mark.parametrize("kind", PLANTED)
def test_what_is_planted_is_gone_everywhere_and_keeps_its_shape(kind: str) -> None:
    value, line = PLANTED[kind]
    told = {"seeds": [{"code": line.format(value)}], "said": f"It says {value} there."}
    redacted, counts = Redactor(RULES, "key").redacted(told)
    assert value not in json.dumps(redacted)
    assert counts.total() >= 2
    before, after = line.format(value), redacted["seeds"][0]["code"]
    shape = [re.sub(r"[a-z]", "a", re.sub(r"[A-Z]", "A", re.sub(r"\d", "0", text))) for text in (before, after)]
    assert shape[0] == shape[1]


def test_the_same_has_the_same_surrogate_and_another_key_another() -> None:
    value, line = PLANTED["password"]
    told = [line.format(value), f"again {value}"]
    one, _ = Redactor(RULES, "key").redacted(told)
    assert one[0].split('"')[1] == one[1].removeprefix("again ")
    assert Redactor(RULES, "key").redacted(told)[0] == one
    assert Redactor(RULES, "other").redacted(told)[0] != one
    names, _ = Redactor(RULES, "key").redacted(["Jacquard", "JACQUARD", "Jacquards"])
    assert names[0].lower() == names[1].lower() != "jacquard"
    assert names[2] == "Jacquards"


def test_what_is_not_asked_for_and_labels_stay() -> None:
    text = "\n".join(line.format(value) for value, line in PLANTED.values())
    nothing = Redact(secrets=False, emails=False)
    assert Redactor(nothing, "key").redacted(text) == (text, {})
    labelled = {"answer": "critical", "code": 'password = "critical"'}
    assert Redactor(RULES, "key", frozenset({"critical"})).redacted(labelled)[0] == labelled


def test_ordinary_code_stays() -> None:
    code = "def add(first: int, second: int) -> int:\n    token = next(tokens)\n    return first + second  # v1.2.3"
    assert Redactor(RULES, "key").redacted({"code": code}) == ({"code": code}, {})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(JSON)
def test_only_texts_change_and_never_their_length(value: Any) -> None:
    def outline(entry: Any) -> Any:
        if isinstance(entry, str):
            return len(entry)
        if isinstance(entry, dict):
            return {key: outline(inner) for key, inner in entry.items()}
        return [outline(inner) for inner in entry] if isinstance(entry, list) else repr(entry)

    assert outline(Redactor(RULES, "key").redacted(value)[0]) == outline(value)
