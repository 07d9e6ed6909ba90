"""The alerts as shipped: promtool plays the cases beside this file, and each alert has all that people need of it."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_server import ALERTS, ROOT, installed

CASES = sorted(Path(__file__).parent.glob("*.yaml"))
RULES: dict[str, dict[str, Any]] = {
    rule["alert"]: rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]
}
PLAYED = [
    case for path in CASES for test in yaml.safe_load(path.read_text())["tests"] for case in test["alert_rule_test"]
]


@pytest.fixture(scope="module")
def promtool() -> str:
    """Debian's; skipped only where it cannot be installed."""
    try:
        return installed("promtool")
    except subprocess.CalledProcessError as error:
        pytest.skip(f"prometheus cannot be installed: {' '.join(error.stderr.split()[-20:])}")


def test_the_rules_are_well_formed(promtool: str) -> None:
    said = subprocess.run([promtool, "check", "rules", "--lint-fatal", ALERTS], capture_output=True, text=True)
    assert said.returncode == 0, said.stdout + said.stderr


@pytest.mark.parametrize("cases", CASES, ids=lambda path: path.stem)
def test_alerts_fire_when_they_should_and_only_then(promtool: str, cases: Path) -> None:
    said = subprocess.run([promtool, "test", "rules", cases], capture_output=True, text=True)
    assert said.returncode == 0, said.stdout + said.stderr


@pytest.mark.parametrize("alert", RULES)
def test_every_alert_is_played_both_ways_and_says_what_to_do(alert: str) -> None:
    rule = RULES[alert]
    assert alert.startswith("Flywheel")
    assert {bool(case["exp_alerts"]) for case in PLAYED if case["alertname"] == alert} == {True, False}
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    words = rule["annotations"]
    assert words["summary"] and "{{ $value" in words["description"]
    assert words["runbook_url"] == f"docs/runbooks/{alert}.md"
    runbook = (ROOT / words["runbook_url"]).read_text()
    assert runbook.startswith(f"# {alert}\n")
    assert all(f"\n## {part}\n" in runbook for part in ("Meaning", "Impact", "Diagnosis", "Mitigation"))
    assert "kubectl" in runbook


def test_no_runbook_is_left_of_an_alert_that_is_gone() -> None:
    assert {path.stem for path in (ROOT / "docs/runbooks").glob("*.md")} - {"index"} == set(RULES)
