"""Smaller parts: silent watches, progress lines, events, health, settings, logs, the request rate."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from flywheel.api.conditions import Event, Reason
from flywheel.api.flywheelrun_status import FlywheelRunStatus
from flywheel.controller import events
from flywheel.controller.client import ApiError, Bucket
from flywheel.controller.health import Health
from flywheel.controller.jobs import Owner
from flywheel.controller.logs import JsonLines
from flywheel.controller.progress import ProgressReader, newest_progress
from flywheel.controller.settings import BadSettingsError, read_settings
from flywheel.controller.watches import SILENT_SECONDS, Watches

OWNER = Owner("flywheel.dev/v1alpha1", "FlywheelRun", "review", "severity", "uid")
NOW = datetime(2026, 11, 21, 4, 0, tzinfo=UTC)


def test_an_idle_watch_is_not_a_silent_one() -> None:
    time = [0.0]
    watches = Watches(clock=lambda: time[0])
    watches.saw("Job", 10)
    watches.listed("Job", 10)
    assert not watches.owing
    time[0] = 100.0
    watches.listed("Job", 11)  # the listing knows what the watch has not told
    assert watches.owing
    time[0] = 1e6
    assert watches.silent() == ()  # only another listing proves anything
    watches.unanswered()
    assert not watches.owing
    watches.listed("Job", 11)
    time[0] += SILENT_SECONDS
    watches.listed("Job", 15)
    assert watches.silent() == ("Job",)
    watches.saw("Job", 14)
    assert watches.silent() == ("Job",)
    watches.saw("Job", 15)
    assert watches.silent() == () and not watches.owing


def test_what_is_owed_is_forgotten_when_it_is_gone() -> None:
    watches = Watches(clock=lambda: 0.0)
    watches.listed("Pod", 7)
    watches.listed("Pod", 0)
    assert not watches.owing


def test_newest_progress_line() -> None:
    text = "2026 INFO x progress train step 1/9 loss 2.0\nprogress train step 2/9 loss 1.9\nsomething else\n"
    assert newest_progress(text) == "train step 2/9 loss 1.9"
    assert newest_progress("nothing") == ""
    assert len(newest_progress("progress " + "x" * 5000)) == 512
    assert newest_progress("progress a\x1b[31mb") == "a[31mb"


class _Logs:
    def __init__(self) -> None:
        self.lines, self.reads = "progress 1", 0

    def log_tail(self, *_: Any) -> str:
        self.reads += 1
        if not self.lines:
            raise ApiError(400, "BadRequest", "container is not running")
        return self.lines


def test_progress_is_read_and_written_only_so_often() -> None:
    logs: Any = _Logs()
    reader, status = ProgressReader(logs), FlywheelRunStatus()
    written: list[str] = []
    for second in range(0, 180, 5):
        logs.lines = f"progress {second}"
        found, again = reader.look(status, "n", "p", "u", NOW + timedelta(seconds=second))
        assert 0 < again <= 30
        if found is not None:
            status = status.model_copy(update={"progress": found})
            written.append(found.line)
    assert logs.reads == 6 and written == ["0", "60", "120"]
    logs.lines = ""
    assert reader.look(status, "n", "p", "u", NOW + timedelta(seconds=300))[0] is None


def test_progress_of_a_thousand_runs_floods_nobody() -> None:
    """Five logs a second, or twice that where turns fall together; and in time each has its turn."""
    logs: Any = _Logs()
    reader, told = ProgressReader(logs), set[int]()
    due = dict.fromkeys(range(1000), 0.0)
    for second in range(600):
        before = logs.reads
        for pod in [pod for pod, at in due.items() if at <= second]:
            found, again = reader.look(FlywheelRunStatus(), "n", "p", f"u{pod}", NOW + timedelta(seconds=second))
            due[pod] = second + again
            told |= {pod} if found is not None else set()
        assert logs.reads - before <= 10
    assert len(told) == 1000 and logs.reads <= 5 * 600 * 1.1


def test_progress_goes_on_when_the_clock_has_gone_back() -> None:
    logs: Any = _Logs()
    reader, status = ProgressReader(logs), FlywheelRunStatus()
    found, _ = reader.look(status, "n", "p", "u", NOW + timedelta(days=400))
    assert found is not None
    logs.lines = "progress 2"
    later, _ = reader.look(status.model_copy(update={"progress": found}), "n", "p", "u", NOW)
    assert later is not None and later.line == "2"


class _Events:
    def __init__(self) -> None:
        self.known: dict[str, dict[str, Any]] = {}

    def create(self, _kind: Any, _namespace: str, body: dict[str, Any]) -> None:
        if body["metadata"]["name"] in self.known:
            raise ApiError(409, "AlreadyExists", "")
        self.known[body["metadata"]["name"]] = body

    def get(self, _kind: Any, _namespace: str, name: str) -> dict[str, Any]:
        return self.known[name]

    def patch(self, _kind: Any, _namespace: str, name: str, body: dict[str, Any]) -> None:
        self.known[name] |= body


def test_the_same_news_is_one_event_with_a_count() -> None:
    api: Any = _Events()
    for _ in range(3):
        events.record(api, OWNER, Event(reason=Reason.NEW_BEST, message="better"), NOW, "pod")
    events.record(api, OWNER, Event(reason=Reason.NEW_BEST, message="x" * 3000), NOW, "pod")
    counted, long = api.known.values()
    assert counted["series"]["count"] == 3 and counted["eventTime"] == "2026-11-21T04:00:00.000000Z"
    assert len(long["note"].encode()) <= 1024


def test_an_event_that_cannot_be_written_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    class Refusing:
        def create(self, *_: Any) -> None:
            raise ApiError(403, "Forbidden", "no")

    refusing: Any = Refusing()
    events.record(refusing, OWNER, Event(reason=Reason.STOPPED, message="x"), NOW, "pod")
    assert "was not written" in caplog.text


def test_health() -> None:
    time = [0.0]
    health = Health(clock=lambda: time[0])
    assert health.live() == "" and "listing" in health.ready()
    health.synced = True
    assert "API server" in health.ready()  # nothing has proven that it answers
    health.api_answered_at = 0.0
    assert health.ready() == ""
    health.standby, health.synced = True, False
    assert health.ready() == ""
    health.standby, health.synced = False, True
    time[0] = 100.0
    health.beat_at = 100.0
    assert health.live() == "" and "API server" in health.ready()  # away is not dead
    time[0] = 161.0
    assert "event loop" in health.live()
    health.beat_at, health.silent_watches = 161.0, ("Job",)
    assert "Job" in health.live()
    health.silent_watches, health.dead_workers = (), 1
    assert "workers" in health.live()
    health.dead_workers = 0
    with health.deadlines.within("FlywheelRun review/a", 1.0):
        time[0] = 162.1
        assert "FlywheelRun review/a" in health.live()
    assert health.live() == ""


def test_settings(tmp_path: Path) -> None:
    (tmp_path / "task.j2").write_text("template")
    env = {"FLYWHEEL_PROMPTS": str(tmp_path), "FLYWHEEL_NAMESPACES": "a, b", "FLYWHEEL_IMAGE_OPERATOR": "o"}
    with pytest.raises(BadSettingsError, match="FLYWHEEL_IMAGE_STUDENT"):
        read_settings(env)
    env |= {"FLYWHEEL_IMAGE_STUDENT": "s", "FLYWHEEL_IMAGE_TRAINER": "t", "POD_NAME": "p"}
    with pytest.raises(BadSettingsError, match="POD_NAMESPACE"):
        read_settings(env)
    env |= {"POD_NAMESPACE": "n"}
    settings = read_settings(env)
    assert (settings.pod, settings.pod_namespace) == ("p", "n")
    assert settings.namespaces == ("a", "b") and settings.template == "template" and settings.port == 8080
    with pytest.raises(BadSettingsError, match="FLYWHEEL_PROMPTS"):
        read_settings(env | {"FLYWHEEL_PROMPTS": str(tmp_path / "none")})
    with pytest.raises(BadSettingsError, match="FLYWHEEL_PORT"):
        read_settings(env | {"FLYWHEEL_PORT": "http"})


def test_logs_are_json_with_what_they_are_about() -> None:
    record = logging.LogRecord("flywheel", logging.INFO, "x.py", 1, "step %s", ("exam",), None)
    record.about = {"kind": "FlywheelRun", "reason": "Running"}
    line = json.loads(JsonLines().format(record))
    assert line["message"] == "step exam" and line["reason"] == "Running" and line["level"] == "info"


def test_the_bucket_lets_a_burst_pass_and_then_a_rate() -> None:
    time, waits = [0.0], []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        time[0] += seconds

    bucket = Bucket(rate=10, burst=5, clock=lambda: time[0], sleep=sleep)
    for _ in range(25):
        bucket.take()
    assert len(waits) == 20 and time[0] == pytest.approx(2.0)
