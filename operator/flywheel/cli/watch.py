"""Follow a FlywheelRun of the current kube context: the same table as a local run, with the running step's log line."""

from __future__ import annotations

import time
from typing import Any, cast

from kubernetes import client, config  # pyright: ignore[reportMissingTypeStubs]
from kubernetes.client.exceptions import ApiException  # pyright: ignore[reportMissingTypeStubs]
from rich.console import Console

from flywheel.api.crd import GROUP, VERSION
from flywheel.api.flywheelrun import FlywheelRun
from flywheel.cli.live import live_run
from flywheel.loop.decide import ended

POLL_SECONDS = 2.0
_PROGRESS = "progress "
_NOT_FOUND = 404


class RunNotFoundError(Exception):
    """There is no such run."""


def follow(console: Console, namespace: str, name: str) -> FlywheelRun:
    """Show the run until it ends, and return it. Raises RunNotFoundError."""
    kube = cast(Any, config)
    kube.load_kube_config()
    objects, core = cast(Any, client).CustomObjectsApi(), cast(Any, client).CoreV1Api()
    with live_run(console) as view:
        while True:
            run = _read(objects, namespace, name)
            view.show(run.status, _progress(core, run))
            if ended(run.status):
                return run
            time.sleep(POLL_SECONDS)


def _read(objects: Any, namespace: str, name: str) -> FlywheelRun:
    try:
        found = objects.get_namespaced_custom_object(GROUP, VERSION, namespace, "flywheelruns", name)
    except ApiException as error:
        if error.status == _NOT_FOUND:  # pyright: ignore[reportUnknownMemberType]
            raise RunNotFoundError(f"there is no FlywheelRun {name} in namespace {namespace}") from error
        raise
    return FlywheelRun.model_validate(found)


def _progress(core: Any, run: FlywheelRun) -> str:
    """The newest progress line of the running step's pod; empty while none runs."""
    selector = f"flywheel.dev/owner-uid={run.metadata.uid}"
    pods = core.list_namespaced_pod(
        run.metadata.namespace, label_selector=selector, field_selector="status.phase=Running"
    )
    for pod in pods.items:
        try:
            text = cast(str, core.read_namespaced_pod_log(pod.metadata.name, run.metadata.namespace, tail_lines=5))
        except ApiException:
            return ""  # the pod ended between the two calls; the next turn shows the next step
        lines = [line for line in text.splitlines() if _PROGRESS in line]
        return lines[-1].partition(_PROGRESS)[2] if lines else ""
    return ""
