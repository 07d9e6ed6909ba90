"""Series that belong to an object: shown anew as a whole by each look at it, so that none outlives object or cause.

Must not know what the series mean. Only the replica that leads looks at objects, so only it shows such series.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from flywheel.api.conditions import Condition

OBJECT_LABELS = ("namespace", "name")


@dataclass(frozen=True)
class Family:
    """One metric of objects. `labels` come after namespace and name; the name of a counter ends in _total."""

    name: str
    words: str
    labels: tuple[str, ...] = ()

    def empty(self) -> CounterMetricFamily | GaugeMetricFamily:
        """Without samples."""
        kind = CounterMetricFamily if self.name.endswith("_total") else GaugeMetricFamily
        return kind(self.name, self.words, labels=(*OBJECT_LABELS, *self.labels))


@dataclass(frozen=True)
class Sample:
    """One value of a family."""

    family: Family
    value: float
    labels: tuple[str, ...] = ()


class ObjectSeries(Collector):
    """Samples by object. Thread-safe: workers show, the server of /metrics collects."""

    def __init__(self, families: Sequence[Family]) -> None:
        self._families = families
        self._lock = threading.Lock()
        self._objects: dict[tuple[str, str], tuple[Sample, ...]] = {}

    def show(self, namespace: str, name: str, samples: Iterable[Sample]) -> None:
        """All that is shown of an object; what was shown before is gone."""
        shown = tuple(samples)
        with self._lock:
            self._objects[namespace, name] = shown

    def forget(self, namespace: str, name: str) -> None:
        """The object is gone."""
        with self._lock:
            self._objects.pop((namespace, name), None)

    def describe(self) -> Iterator[Metric]:
        """The families, for the registry and the reference."""
        return (family.empty() for family in self._families)

    def collect(self) -> Iterator[Metric]:
        """The families with all samples."""
        with self._lock:
            objects = list(self._objects.items())
        metrics = {family: family.empty() for family in self._families}
        for key, samples in objects:
            for sample in samples:
                metrics[sample.family].add_metric((*key, *sample.labels), sample.value)
        return iter(metrics.values())


def conditions_of(family: Family, conditions: Iterable[Condition]) -> Iterator[Sample]:
    """One sample for each condition, with its status and reason at present as labels."""
    return (Sample(family, 1, (entry.type, entry.status, entry.reason)) for entry in conditions)


def timestamp(family: Family, moment: datetime | None) -> Iterator[Sample]:
    """Seconds since 1970, where there is such a moment: PromQL makes an age of it."""
    if moment is not None:
        yield Sample(family, moment.timestamp())


def figure(family: Family, value: float | str | None, *labels: str) -> Iterator[Sample]:
    """A figure, perhaps as decimal text, where it is there."""
    if value is not None:
        yield Sample(family, float(value), labels)
