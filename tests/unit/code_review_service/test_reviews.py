"""What users are shown, what is written down, and what is said when something is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from .conftest import DIGEST, Load, Product, Start

Finding = Callable[..., dict[str, Any]]
DIFF = """diff --git a/shop/cart.py b/shop/cart.py
--- a/shop/cart.py
+++ b/shop/cart.py
@@ -1,2 +1,3 @@
 def total(cart):
-    return 0
+    prices = cart.prices
+    return sum(prices)
@@ -40,2 +41,2 @@
-old
+new
 end
"""


async def review(product: Product, *findings: Any, **more: Any) -> Any:
    body = {"repository": "shop", "findings": list(findings), **more}
    return await product.client.post("/reviews", json=body)


async def test_severe_findings_are_shown_and_all_are_logged(start: Start, finding: Finding) -> None:
    product = start()
    product.draws += [0.9, 0.9, 0.05, 0.9]
    asked = [finding(label) for label in ("critical", "minor", "trivial", "trivial")]
    reply = (await review(product, *asked)).json()
    assert [(each["finding"], each["severity"]) for each in reply["findings"]] == [(0, "critical"), (2, "trivial")]
    assert reply["hidden"] == 2
    lines = product.lines()
    assert [(line["label"], line["shown"], line["propensity"]) for line in lines] == [
        ("critical", True, 1.0),
        ("minor", False, 0.1),
        ("trivial", True, 0.1),
        ("trivial", False, 0.1),
    ]
    assert [json.loads(line["request"]["messages"][0]["content"]) for line in lines] == asked
    assert {line["servedBy"] for line in lines} == {DIGEST}
    assert [each["id"] for each in reply["findings"]] == [line["id"] for line in lines if line["shown"]]
    assert len({line["id"] for line in lines}) == 4


async def test_what_cannot_be_read_is_shown_and_counted(start: Start, finding: Finding) -> None:
    product = start(show_from="critical")
    product.draws += [0.99] * 3
    product.triton.happens = [200, 500, 200]
    unreadable = {"code": "x", "review": "I would say major."}
    reply = (await review(product, unreadable, finding("major"), finding("major"))).json()
    assert [(each["finding"], each["severity"]) for each in reply["findings"]] == [(0, "not rated"), (1, "not rated")]
    assert [line["label"] for line in product.lines()] == [None, None, "major"]
    metrics = (await product.client.get("/metrics")).text
    assert 'review_findings_total{severity="not rated",shown="true"} 2.0' in metrics
    assert 'review_findings_total{severity="major",shown="false"} 1.0' in metrics


async def test_an_explanation_is_shown_where_answers_hold_one(start: Start, finding: Finding) -> None:
    product = start(explained=True)
    reply = (await review(product, finding("major", explanation="It drops rows."), finding("major"))).json()
    shown = [(each["severity"], each.get("explanation")) for each in reply["findings"]]
    assert shown == [("major", "It drops rows."), ("not rated", None)]


async def test_a_line_of_a_diff_brings_its_code(start: Start) -> None:
    product = start()
    places = [("shop/cart.py", 2), ("shop/cart.py", 42)]
    reply = await review(product, *({"file": f, "line": n, "review": "?"} for f, n in places), diff=DIFF)
    assert reply.status_code == 200
    code = [question["code"] for question in product.triton.asked]
    assert code == ["def total(cart):\n    prices = cart.prices\n    return sum(prices)\n", "new\nend\n"]


JSON = {"content-type": "application/json"}
FINDING = {"code": "x", "review": "y"}
AT = {"file": "shop/cart.py", "line": 20, "review": "y"}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"repository": "r", "findings": []}, "findings: "),
        ({"findings": [FINDING]}, "repository: Field required"),
        ({"repository": " ", "findings": [FINDING]}, "repository: "),
        ({"repository": "r", "findings": [FINDING, {"code": "x"}]}, "findings.1.review: Field required"),
        ({"repository": "r", "findings": [{"review": "y"}]}, "give code, or file and line"),
        ({"repository": "r", "findings": [AT | FINDING]}, "give code, or file and line"),
        ({"repository": "r", "findings": [{"review": "y", "file": "f"}]}, "give code, or file and line"),
        ({"repository": "r", "findings": [AT]}, "findings.0 names a line of a diff"),
        ({"repository": "r", "findings": [AT], "diff": DIFF}, "does not show line 20 of shop/cart.py"),
        ({"repository": "r", "findings": [AT | {"file": "else.py"}], "diff": DIFF}, "does not change else.py"),
        ({"repository": "r", "findings": [AT], "diff": "hello"}, "git diff"),
        ({"repository": "r", "findings": [AT], "diff": "@@ -1 +1 @@\n x"}, "git diff"),
        ({"repository": "r", "findings": [FINDING | {"sevrity": 1}]}, "findings.0.sevrity: Extra inputs"),
        ({"repository": "r", "findings": [{"code": "x", "review": "\ud800"}]}, "findings.0.review: "),
    ],
)
async def test_a_bad_request_is_told_what_is_wrong(start: Start, body: Any, words: str) -> None:
    product = start()
    reply = await product.client.post("/reviews", content=json.dumps(body), headers=JSON)
    assert reply.status_code == 422
    assert words in reply.json()["detail"]
    assert product.triton.asked == [] and product.lines() == []


async def test_a_server_that_is_away_is_said_and_nothing_is_logged(start: Start, finding: Finding) -> None:
    product = start()
    for happens, words in [
        ([httpx2.ConnectError] * 2, "cannot be reached"),
        ([503, 503], "no model severity ready"),
        ([404], "has an AdapterDeployment rolled"),
        ([httpx2.ReadTimeout], "did not answer in time"),
        ([401], "is TRITON_URL"),
    ]:
        product.triton.happens = list(happens)
        reply = await review(product, finding("major"))
        assert reply.status_code == 503
        assert words in reply.json()["detail"] and "secret" not in reply.text and "Traceback" not in reply.text
    assert product.lines() == []


FAILS = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.ReadError, httpx2.RemoteProtocolError, 503)
others = st.sampled_from([200, 400, 404, 500, httpx2.ReadTimeout, httpx2.WriteTimeout])


@given(st.lists(st.sampled_from(FAILS) | others, min_size=3, max_size=3))
async def test_only_a_lost_connection_or_a_503_is_asked_again_and_once(module: Load, happens: list[Any]) -> None:
    from .conftest import Triton

    triton = Triton(list(happens))
    served = module("served").ServedModel("http://triton:8000", "severity", httpx2.MockTransport(triton))
    answered = True
    try:
        await served.ask({"code": "x", "review": "y"})
    except module("served").ServingError:
        answered = False
    asked = 2 if happens[0] in FAILS else 1
    assert len(triton.asked) == asked
    assert answered == (happens[asked - 1] in (200, 400, 500))


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({}, "TRITON_URL: Field required; LOG_FOLDER: Field required"),
        ({"SHOW_FROM": "blocker"}, "SHOW_FROM: "),
        ({"EXPLORE": "0"}, "EXPLORE: "),
        ({"TRITON_URL": "triton:8000"}, "TRITON_URL: "),
    ],
)
def test_a_wrong_setting_is_said_by_name(module: Load, environment: dict[str, str], words: str) -> None:
    good = {"TRITON_URL": "http://triton:8000", "LOG_FOLDER": "/data"}
    with pytest.raises(ValueError, match=words):
        module("service_settings").Settings.read(good | environment if environment else {})
