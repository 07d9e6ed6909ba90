"""What Prometheus reads. One object holds all metrics, so that tests have their own; docs/metrics.md lists them.

Queue, reconciles and requests have the names that controller-runtime and client-go gave them, so that what people have
for other operators shows this one too.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.process_collector import ProcessCollector

from flywheel.controller.metrics_deployment import DEPLOYMENT_FAMILIES
from flywheel.controller.metrics_run import RUN_FAMILIES
from flywheel.controller.object_series import ObjectSeries

_SECONDS = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_STEP_SECONDS = (10, 30, 60, 180, 600, 1800, 3600, 7200, 14400, 43200, 86400)


class Metrics:
    """The operator's metrics."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.runs, self.deployments = ObjectSeries(RUN_FAMILIES), ObjectSeries(DEPLOYMENT_FAMILIES)
        self.registry.register(self.runs)
        self.registry.register(self.deployments)
        self._queue_metrics()
        self._reconcile_metrics()
        self.steps = Histogram(
            "flywheel_step_duration_seconds",
            "How long pods of a run's steps ran, killed and failed ones too.",
            ["step"],
            buckets=_STEP_SECONDS,
            registry=self.registry,
        )
        self.watch_age = Gauge(
            "flywheel_watch_last_event_age_seconds",
            "Time since the last event of a watch, by its resource and the namespace where it has one.",
            ["resource"],
            registry=self.registry,
        )
        self.watch_silent = Gauge(
            "flywheel_watch_silent",
            "1 for a watch that has not told of what listings show; the process is then started anew.",
            ["resource"],
            registry=self.registry,
        )
        self.listings = Counter(
            "flywheel_cache_listings_total",
            "Listings that the cache was compared with.",
            ["resource"],
            registry=self.registry,
        )
        self.audit_drift = Counter(
            "flywheel_cache_audit_drift_total",
            "Changes that a listing found and no watch event had told of.",
            ["resource"],
            registry=self.registry,
        )
        self.loop_lag = Gauge(
            "flywheel_event_loop_lag_seconds", "How late the event loop was at its last beat.", registry=self.registry
        )
        self._leader = Gauge(
            "leader_election_master_status",
            "1 on the replica that holds this Lease, 0 on the others.",
            ["name"],
            registry=self.registry,
        )

    def _queue_metrics(self) -> None:
        self._depth = Gauge("workqueue_depth", "Keys that wait for a worker.", ["name"], registry=self.registry)
        self._adds = Counter(
            "workqueue_adds", "Keys added; one that waits already is not.", ["name"], registry=self.registry
        )
        self._retries = Counter(
            "workqueue_retries", "Keys to be looked at again after an error.", ["name"], registry=self.registry
        )
        self._waited = Histogram(
            "workqueue_queue_duration_seconds",
            "How long a key waited for a worker.",
            ["name"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._worked = Histogram(
            "workqueue_work_duration_seconds",
            "How long a worker was busy with a key.",
            ["name"],
            buckets=_SECONDS,
            registry=self.registry,
        )

    def _reconcile_metrics(self) -> None:
        self._reconciles = Counter(
            "controller_runtime_reconcile",
            "Reconciles, by how they ended: success, requeue_after, requeue (the object had changed meanwhile), error.",
            ["controller", "result"],
            registry=self.registry,
        )
        self._errors = Counter(
            "controller_runtime_reconcile_errors",
            "Reconciles that ended with an error.",
            ["controller"],
            registry=self.registry,
        )
        self._reconcile_time = Histogram(
            "controller_runtime_reconcile_time_seconds",
            "How long a reconcile took.",
            ["controller"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._requests = Counter(
            "rest_client_requests",
            "Requests to the API server; code 0 where it was not reached.",
            ["code", "method"],
            registry=self.registry,
        )

    def queue_depth(self, queue: str, depth: int) -> None:
        """Keys waiting."""
        self._depth.labels(queue).set(depth)

    def queue_added(self, queue: str) -> None:
        """A key began to wait."""
        self._adds.labels(queue).inc()

    def queue_waited(self, queue: str, seconds: float) -> None:
        """A key was taken up."""
        self._waited.labels(queue).observe(seconds)

    def queue_worked(self, queue: str, seconds: float) -> None:
        """A worker is done with a key."""
        self._worked.labels(queue).observe(seconds)

    def queue_retry(self, queue: str) -> None:
        """A key comes back after an error."""
        self._retries.labels(queue).inc()

    def reconciled(self, kind: str, result: str, seconds: float) -> None:
        """A reconcile ended."""
        self._reconciles.labels(kind, result).inc()
        self._errors.labels(kind).inc(result == "error")
        self._reconcile_time.labels(kind).observe(seconds)

    def api_request(self, method: str, code: int) -> None:
        """A request was answered, or, with code 0, was not."""
        self._requests.labels(str(code), method).inc()

    def leader(self, lease: str, leading: bool) -> None:
        """Whether this replica holds the Lease."""
        self._leader.labels(lease).set(leading)
