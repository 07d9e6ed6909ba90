"""What Prometheus reads. One object holds all metrics, so that tests have their own."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.process_collector import ProcessCollector

_SECONDS = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class Metrics:
    """The operator's metrics."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._depth = Gauge(
            "flywheel_workqueue_depth", "Keys that wait for a worker.", ["queue"], registry=self.registry
        )
        self._waited = Histogram(
            "flywheel_workqueue_queue_duration_seconds",
            "How long a key waited for a worker.",
            ["queue"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._reconciles = Counter(
            "flywheel_reconcile_total", "Reconciles, by how they ended.", ["kind", "result"], registry=self.registry
        )
        self._reconcile_time = Histogram(
            "flywheel_reconcile_time_seconds",
            "How long a reconcile took.",
            ["kind"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._requests = Counter(
            "flywheel_api_requests_total",
            "Requests to the API server; code 0 where it was not reached.",
            ["verb", "resource", "code"],
            registry=self.registry,
        )
        self.watch_age = Gauge(
            "flywheel_watch_last_event_age_seconds",
            "Time since the last event of a watch, by its resource and the namespace where it has one.",
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
        self._leader = Gauge(  # named as controller-runtime names it
            "leader_election_master_status",
            "1 on the replica that holds this Lease, 0 on the others.",
            ["name"],
            registry=self.registry,
        )
        self._run = {
            name: Gauge(f"flywheel_run_{name}", words, ["namespace", "name"], registry=self.registry)
            for name, words in {
                "iteration": "Iteration at work.",
                "proficiency": "The teacher's newest grade, 1 to 10.",
                "exam_accuracy": "Accuracy on the newest exam.",
                "inflation_gap": "Newest exam: accuracy by the teacher's key minus accuracy on the anchors.",
                "validation_accuracy": "Balanced accuracy of the newest adapter on the validation pool.",
                "teacher_calls": "Teacher calls paid so far.",
                "teacher_input_tokens": "Teacher tokens charged so far, in.",
                "teacher_output_tokens": "Teacher tokens charged so far, out.",
                "voted_out": "Items of the teacher so far that its own votes did not confirm.",
                "teacher_cost": "Cost of the teacher so far, in the currency of teacher.prices.",
                "teacher_lost_in_flight": "Teacher requests that were cut off, charged as reserved.",
                "pod_seconds": "Seconds that the steps' pods ran, the one at work not included.",
                "gpu_seconds": "The same, times the GPUs of each pod.",
            }.items()
        }
        self._replies = Gauge(
            "flywheel_run_teacher_replies",
            "Replies of the teacher so far, by how they were read.",
            ["namespace", "name", "rung"],
            registry=self.registry,
        )

        self._teacher_error = Gauge(
            "flywheel_run_teacher_error",
            "Share of the trusted items of a label that the teacher labels wrongly.",
            ["namespace", "name", "label"],
            registry=self.registry,
        )

    def queue_depth(self, queue: str, depth: int) -> None:
        """Keys waiting."""
        self._depth.labels(queue).set(depth)

    def queue_waited(self, queue: str, seconds: float) -> None:
        """A key was taken up."""
        self._waited.labels(queue).observe(seconds)

    def reconciled(self, kind: str, result: str, seconds: float) -> None:
        """A reconcile ended."""
        self._reconciles.labels(kind, result).inc()
        self._reconcile_time.labels(kind).observe(seconds)

    def api_request(self, verb: str, resource: str, code: int) -> None:
        """A request was answered."""
        self._requests.labels(verb, resource, str(code)).inc()

    def leader(self, lease: str, leading: bool) -> None:
        """Whether this replica holds the Lease."""
        self._leader.labels(lease).set(leading)

    def run_figures(self, namespace: str, name: str, figures: Mapping[str, float | None]) -> None:
        """Figures of a run; None ones are not shown."""
        for key, gauge in self._run.items():
            value = figures.get(key)
            if value is not None:
                gauge.labels(namespace, name).set(value)

    def run_replies(self, namespace: str, name: str, counts: Mapping[str, int]) -> None:
        """How a run's replies were read."""
        for rung, count in counts.items():
            self._replies.labels(namespace, name, rung).set(count)

    def run_teacher_error(self, namespace: str, name: str, errors: Mapping[str, float]) -> None:
        """How often a run's teacher is wrong, by label."""
        for label, error in errors.items():
            self._teacher_error.labels(namespace, name, label).set(error)

    def forget_run(self, namespace: str, name: str) -> None:
        """The run is gone, and its figures with it."""
        for gauge in (*self._run.values(), self._replies, self._teacher_error):
            gauge.remove_by_labels({"namespace": namespace, "name": name})
