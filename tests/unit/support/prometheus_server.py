"""The real Prometheus of Debian, with the chart's rules and dashboards; tools/cluster installs it."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml
from processes import free_port

ROOT = Path(__file__).parents[3]
CHART = ROOT / "charts/flywheel-operator/files"
ALERTS = CHART / "alerts/flywheel.yaml"


def installed(program: str) -> str:
    """prometheus or promtool; raises CalledProcessError where the package cannot be installed."""
    path = Path("/usr/bin") / program
    if not path.exists():
        subprocess.run([ROOT / "tools/cluster/cluster", "packages"], check=True, capture_output=True, text=True)
    return str(path)


def at_once(rules: Path, folder: Path) -> Path:
    """The rules with `for: 0s`, for a Prometheus that nobody wants to wait for. promtool has them as shipped."""
    found = yaml.safe_load(rules.read_text())
    for group in found["groups"]:
        group["rules"] = [rule | {"for": "0s"} for rule in group["rules"]]
    path = folder / rules.name
    path.write_text(yaml.safe_dump(found))
    return path


def panels() -> dict[str, str]:
    """Every query of the dashboards, by what it is drawn as."""
    return {
        f"{path.stem}: {panel['title']} {target['refId']}": target["expr"]
        for path in sorted((CHART / "dashboards").glob("*.json"))
        for panel in json.loads(path.read_text())["panels"]
        for target in panel["targets"]
    }


@dataclass(frozen=True)
class Prometheus:
    """Answers as its HTTP API does."""

    http: httpx.Client

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The samples of an instant query."""
        return self._get("query", query=expression)["result"]

    def ever(self, expression: str, seconds: float) -> list[dict[str, Any]]:
        """The series of a range query over the last so many seconds: what a dashboard draws."""
        now = time.time()
        return self._get("query_range", query=expression, start=str(now - seconds), end=str(now), step="5")["result"]

    def firing(self) -> set[tuple[str, str]]:
        """Alerts that fire, each with the name of what it is about."""
        alerts = self._get("alerts")["alerts"]
        return {(a["labels"]["alertname"], a["labels"].get("name", "")) for a in alerts if a["state"] == "firing"}

    def until(self, what: str, done: Callable[[], object]) -> None:
        """Ask again until it is so."""
        deadline = time.monotonic() + 60
        while not done():
            assert time.monotonic() < deadline, f"not within a minute: {what}"
            time.sleep(0.1)

    def _get(self, path: str, **query: str) -> dict[str, Any]:
        answer = self.http.get(f"/api/v1/{path}", params=query)
        return answer.raise_for_status().json()["data"]


@contextmanager
def running(folder: Path, targets: Mapping[str, Any], rules: Path, every: str = "200ms") -> Iterator[Prometheus]:
    """It scrapes and evaluates that often; `targets` as in a scrape_config."""
    address = f"127.0.0.1:{free_port()}"
    job = {"job_name": "flywheel", "honor_labels": True, **targets}
    often = {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every}
    config = {"global": often, "rule_files": [str(rules)], "scrape_configs": [job]}
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    options = {"config.file": folder / "prometheus.yml", "storage.tsdb.path": folder / "data"}
    command = [installed("prometheus"), f"--web.listen-address={address}"]
    command += [f"--{name}={value}" for name, value in options.items()]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "GOMAXPROCS": "1"})
    try:
        server = Prometheus(httpx.Client(base_url=f"http://{address}", trust_env=False))
        server.until(f"Prometheus starts: {folder / 'log'}", lambda: process.poll() is None and _ready(server))
        yield server
    finally:
        process.kill()
        process.wait()


def _ready(server: Prometheus) -> bool:
    try:
        return server.http.get("/-/ready").is_success
    except httpx.TransportError:
        return False
