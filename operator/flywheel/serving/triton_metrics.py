"""What a Triton server counted of a model, from its own Prometheus metrics. Must not judge them."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import repeat

import httpx2
from prometheus_client.parser import text_string_to_metric_families

from flywheel.api.adapterdeployment import PodCount
from flywheel.serving.calls import ServingPodView

log = logging.getLogger(__name__)

_SECONDS = 5.0
_AT_ONCE = 8
# Summed over the versions of a model; an in-place reload does not reset them.
_ANSWERED = "nv_inference_request_success"
_FAILED = "nv_inference_request_failure"
_MICROSECONDS = "nv_inference_request_duration_us"


def with_counts(views: Sequence[ServingPodView], port: int, model: str) -> tuple[ServingPodView, ...]:
    """The views with what each pod counted; without it where a pod does not say."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        counts = pool.map(_count, views, repeat(port), repeat(model))
        return tuple(replace(view, count=count) for view, count in zip(views, counts, strict=True))


def _count(view: ServingPodView, port: int, model: str) -> PodCount | None:
    if not view.endpoint.ready or view.error:
        return None
    host = view.endpoint.address.rpartition(":")[0]
    try:
        reply = httpx2.get(f"http://{host}:{port}/metrics", timeout=_SECONDS, trust_env=False)
        reply.raise_for_status()
        return counted(reply.text, view.endpoint.pod, model)
    except (httpx2.HTTPError, ValueError) as error:
        # Without counts the pause goes on, and ends, by time.
        log.warning("pod %s does not say what it counted: %s", view.endpoint.pod, type(error).__name__)
        return None


def counted(text: str, pod: str, model: str) -> PodCount:
    """The counts in a page of metrics. Raises ValueError where it is none."""
    found: Counter[str] = Counter()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.labels.get("model") == model:
                found[sample.name.removesuffix("_total")] += int(sample.value)
    return PodCount(
        name=pod, answered=found[_ANSWERED], failed=found[_FAILED], microseconds=max(found[_MICROSECONDS], 0)
    )
