"""What came of a story, without what differs between two tellings of it: times, uids, namespaces, digests of paths."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from bed_driver import Driver, ended
from bed_faults import without_uid
from bed_node import over
from bed_serving import ServingPod

from flywheel.api.result import TrainFigures
from flywheel.controller.resources import JOB, OWNERS, POD

Object = dict[str, Any]
# Seconds that pods lived, by the clock; and which was the last whose start was seen.
_CLOCK = re.compile(r'"((pod|gpu)Seconds": |pod": \{[^}]*"attempt": )\d+')
_POD_UID = re.compile(r'"(uid|pod)": "[^"]*"')
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[.\d]*(Z|\+00:00)")


@dataclass
class Outcome:
    """Statuses of the resources, the Jobs that there were, what serves, and what is still at work."""

    statuses: Object
    jobs: Counter[str]
    serving: list[Object]
    active: list[str] = field(default_factory=list[str])

    def faults(self, golden: Outcome) -> list[str]:
        """How it is not the same as where nothing went wrong."""
        found = [f"still at work: {name}" for name in self.active]
        found += [f"Jobs made twice or not wanted: {name}" for name in self.duplicates(golden)]
        found += [f"Jobs that are missing: {name}" for name in (golden.jobs - self.jobs).elements()]
        if self.statuses != golden.statuses:
            found.append(f"status:\n{_text(self.statuses)}\nwhere nothing goes wrong:\n{_text(golden.statuses)}")
        if self.serving != golden.serving:
            found.append(f"serves {self.serving}, not {golden.serving}")
        return found

    def duplicates(self, golden: Outcome) -> list[str]:
        """Jobs that would not have been."""
        return sorted((self.jobs - golden.jobs).elements())


def outcome(driver: Driver, serving: list[ServingPod]) -> Outcome:
    """What came of it."""
    names = _digests(driver)
    uids = {item["metadata"]["uid"]: item["kind"] for kind in OWNERS for item in driver.view.all(kind)}
    statuses: Object = {}
    for kind in OWNERS:
        for item in driver.view.all(kind):
            text = json.dumps(item.get("status") or {}, sort_keys=True)
            statuses[f"{kind.kind} {item['metadata']['name']}"] = json.loads(
                _plain(text, driver.namespace, names, uids)
            )
    at_work = [item for item in driver.view.all(JOB) if not ended(item)]
    at_work += [item for item in driver.view.all(POD) if not over(item)]
    return Outcome(
        statuses=statuses,
        jobs=Counter(without_uid(name) for name in driver.view.ever[JOB.kind].values()),
        serving=[{"models": pod.models, "calls": Counter(pod.calls)} for pod in serving],
        active=[without_uid(item["metadata"]["name"]) for item in at_work],
    )


def _digests(driver: Driver) -> dict[str, str]:
    """Which pod's result each digest is of: digests of scripted results hang on paths, which hold uids."""
    found: dict[str, str] = {}
    for pod, said in driver.node.said.items():
        job = without_uid(pod.rsplit("-", 1)[0])
        if said.manifest is not None:
            found[said.manifest] = f"manifest of {job}"
        if isinstance(said.figures, TrainFigures):
            found[said.figures.adapter] = f"adapter of {job}"
    return found


def _plain(text: str, namespace: str, digests: dict[str, str], uids: dict[str, str]) -> str:
    for digest, name in digests.items():
        text = text.replace(digest, name)
    for uid, kind in uids.items():
        text = text.replace(uid[:8], kind)
    text = _POD_UID.sub(r'"\1": "UID"', text)
    return _CLOCK.sub(r'"\1"CLOCK"', _TIME.sub("TIME", text)).replace(f"/{namespace}/", "/NAMESPACE/")


def _text(value: Object) -> str:
    return json.dumps(value, indent=1, sort_keys=True)
