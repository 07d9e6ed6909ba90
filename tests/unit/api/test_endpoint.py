"""What may be said of an endpoint: literal headers and parameters that are no keys, and a proxy without credentials."""

from __future__ import annotations

import re
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError
from resources import run_spec

from flywheel.api.endpoint import ProxyURL
from flywheel.api.flywheelrun import FlywheelRunSpec


def with_teacher(**fields: Any) -> FlywheelRunSpec:
    spec = run_spec()
    return FlywheelRunSpec.model_validate(spec | {"teacher": spec["teacher"] | fields})


@pytest.mark.parametrize("name", ["authorization", "proxy-authorization", "api-key", "x-api-key", "cookie", "host"])
def test_a_header_that_is_a_key_is_refused_in_words(name: str) -> None:
    with pytest.raises(ValidationError, match="keys belong in the Secret of secretRef, as apiKey"):
        with_teacher(headers=[{"name": name, "value": "Bearer x"}])


@pytest.mark.parametrize("name", ["key", "api_key", "API-Key", "apikey", "access_token", "sig"])
def test_a_parameter_that_is_a_key_is_refused_in_words(name: str) -> None:
    with pytest.raises(ValidationError, match="keys belong in the Secret"):
        with_teacher(query=[{"name": name, "value": "x"}])


@pytest.mark.parametrize(
    "header",
    [
        {"name": "Authorization", "value": "x"},  # no way round by another case
        {"name": "x y", "value": "x"},
        {"name": "x-a", "value": "x\r\nauthorization: y"},
        {"name": "x-a", "value": " x"},
        {"name": "x-a", "value": "ü"},
        {"name": "x-a", "value": ""},
        {"name": "x-a", "value": "x", "valueFrom": {}},
    ],
)
def test_headers_that_are_none_are_refused(header: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        with_teacher(headers=[header])


def test_what_is_said_twice_is_refused_and_the_usual_is_taken() -> None:
    with pytest.raises(ValidationError, match="two entries"):
        with_teacher(headers=[{"name": "x-a", "value": "1"}, {"name": "x-a", "value": "2"}])
    spec = with_teacher(
        headers=[{"name": "openai-organization", "value": "org-1"}],
        query=[{"name": "api-version", "value": "2026-01-01"}],
        caBundleRef={"name": "corp-ca"},
        proxy="http://proxy.corp.example.com:3128",
        structuredOutputs="JSONSchema",
    )
    assert spec.teacher.ca_bundle_ref is not None and spec.teacher.ca_bundle_ref.key == "ca.crt"


@pytest.mark.parametrize(
    ("url", "good"),
    [
        ("http://proxy:3128", True),
        ("http://10.0.0.1", True),
        ("http://[fd00::1]:3128", True),
        ("http://user:password@proxy:3128", False),
        ("http://user@proxy", False),
        ("https://proxy:3128", False),
        ("socks5://proxy", False),
        ("http://proxy/path", False),
        ("http://proxy:0", False),
        ("proxy:3128", False),
    ],
)
def test_a_proxy_has_no_credentials(url: str, good: bool) -> None:
    adapter = TypeAdapter[str](ProxyURL)
    assert bool(re.fullmatch(adapter.json_schema()["pattern"], url)) == good
    if good:
        adapter.validate_python(url)
    else:
        with pytest.raises(ValidationError):
            adapter.validate_python(url)
