"""What the dashboards show: panels with their queries, each of which a test asks of a real Prometheus."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Panel:
    """Queries by legend; `unit` is Grafana's name of it."""

    title: str
    queries: dict[str, str]
    unit: str = "short"
    kind: str = "timeseries"


_OURS = "and on (instance) flywheel_event_loop_lag_seconds"
_OBJECT = '{namespace=~"$namespace", name=~"$name"}'


def of(metric: str, *by: str, matching: str = "") -> str:
    """A series of the objects chosen; max, because while leadership moves two replicas may show one object."""
    chosen = _OBJECT if not matching else f"{_OBJECT[:-1]}, {matching}}}"
    return f"max by ({', '.join(('namespace', 'name', *by))}) ({metric}{chosen})"


def interval(metric: str) -> dict[str, str]:
    """A figure with its bounds."""
    return {
        "{{name}}": of(metric),
        "{{name}} low": of(f"{metric}_low"),
        "{{name}} high": of(f"{metric}_high"),
    }


def rate(metric: str, *by: str) -> str:
    """Of a counter of the operator; others on the same Prometheus have series of these names too."""
    return f"sum by ({', '.join(by)}) (rate({metric}[$__rate_interval]) {_OURS})"


def slowest(metric: str, by: str) -> str:
    """The 99th percentile of a histogram of the operator."""
    return f"histogram_quantile(0.99, {rate(f'{metric}_bucket', 'le', by)})"


_USED, _LEFT = of("flywheel_run_budget_used", "budget"), of("flywheel_run_budget_left", "budget")

RUNS = (
    Panel("Proficiency, by the teacher", {"{{name}}": of("flywheel_run_proficiency")}),
    Panel("Validation accuracy", interval("flywheel_run_validation_accuracy"), "percentunit"),
    Panel("Test accuracy of the newest candidate", interval("flywheel_run_test_accuracy"), "percentunit"),
    Panel("Exam accuracy", interval("flywheel_run_exam_accuracy"), "percentunit"),
    Panel(
        "Without training, and best adapter",
        {
            "{{name}} {{arm}}": of("flywheel_run_baseline_accuracy", "arm"),
            "{{name}} best": of("flywheel_run_best_accuracy"),
        },
        "percentunit",
    ),
    Panel("Inflation gap", interval("flywheel_run_inflation_gap"), "percentunit"),
    Panel("Iteration", {"{{name}}": of("flywheel_run_iteration"), "{{name}} most": of("flywheel_run_iterations_max")}),
    Panel(
        "Iterations without a proven gain",
        {"{{name}}": of("flywheel_run_iterations_without_gain"), "{{name}} patience": of("flywheel_run_patience")},
    ),
    Panel("Step at work", {"{{name}} {{step}}": of("flywheel_run_step", "step")}, kind="state-timeline"),
    Panel("Time of the step at work", {"{{name}}": f"time() - {of('flywheel_run_step_start_timestamp_seconds')}"}, "s"),
    Panel(
        "Mean time of a step",
        {
            "{{step}}": "sum by (step) (flywheel_step_duration_seconds_sum)"
            " / sum by (step) (flywheel_step_duration_seconds_count)"
        },
        "s",
        "bargauge",
    ),
    Panel(
        "Conditions",
        {"": of("flywheel_run_condition", "type", "status", "reason", matching='status!="False"')},
        kind="table",
    ),
    Panel("Budget used", {"{{name}} {{budget}}": f"{_USED} / ({_USED} + {_LEFT})"}, "percentunit"),
    Panel("Teacher calls", {"{{name}}": of("flywheel_run_teacher_calls_total")}),
    Panel("Teacher tokens", {"{{name}} {{kind}}": of("flywheel_run_teacher_tokens_total", "kind")}),
    Panel("Teacher cost", {"{{name}}": of("flywheel_run_teacher_cost_total")}),
    Panel("Replies, by how they were read", {"{{name}} {{rung}}": of("flywheel_run_teacher_replies_total", "rung")}),
    Panel("Teacher's error", {"{{name}} {{label}}": of("flywheel_run_teacher_error", "label")}, "percentunit"),
    Panel(
        "Items left out, and missing",
        {
            "{{name}} {{reason}}": of("flywheel_run_leaked_items_total", "reason"),
            "{{name}} voted out": of("flywheel_run_voted_out_total"),
            "{{name}} missing in {{step}}": of("flywheel_run_missing_items", "step"),
        },
    ),
    Panel(
        "Time of pods, and of GPUs",
        {"{{name}} pods": of("flywheel_run_pod_seconds_total"), "{{name}} GPUs": of("flywheel_run_gpu_seconds_total")},
        "s",
    ),
)

_REVISION = ("digest", "run", "iteration")
SERVING = (
    Panel("Serving", {"": of("flywheel_deployment_serving_info", *_REVISION)}, kind="table"),
    Panel("Being rolled out", {"": of("flywheel_deployment_rollout_info", *_REVISION)}, kind="table"),
    Panel("Waiting for approval", {"": of("flywheel_deployment_waiting_info", *_REVISION)}, kind="table"),
    Panel("Conditions", {"": of("flywheel_deployment_condition", "type", "status", "reason")}, kind="table"),
    Panel("Ready pods", {"{{name}} {{state}}": of("flywheel_deployment_pods", "state")}),
    Panel("Rollouts", {"{{name}}": of("flywheel_deployment_rollouts_total")}),
    Panel(
        "Since what serves came, and since the newest rejection",
        {
            "{{name}} serves": f"time() - {of('flywheel_deployment_serving_since_timestamp_seconds')}",
            "{{name}} rejected": f"time() - {of('flywheel_deployment_rejected_timestamp_seconds')}",
        },
        "s",
    ),
)

OPERATOR = (
    Panel("Leader", {"{{instance}}": 'leader_election_master_status{name="flywheel-operator"}'}),
    Panel(
        "Reconciles",
        {"{{controller}} {{result}}": rate("controller_runtime_reconcile_total", "controller", "result")},
        "ops",
    ),
    Panel(
        "Reconcile errors", {"{{controller}}": rate("controller_runtime_reconcile_errors_total", "controller")}, "ops"
    ),
    Panel(
        "Slowest reconciles (p99)",
        {"{{controller}}": slowest("controller_runtime_reconcile_time_seconds", "controller")},
        "s",
    ),
    Panel("Queue depth", {"{{name}}": f"sum by (name) (workqueue_depth {_OURS})"}),
    Panel(
        "Keys added, and again after an error",
        {"{{name}}": rate("workqueue_adds_total", "name"), "{{name}} again": rate("workqueue_retries_total", "name")},
        "ops",
    ),
    Panel("Longest waits (p99)", {"{{name}}": slowest("workqueue_queue_duration_seconds", "name")}, "s"),
    Panel("Longest work (p99)", {"{{name}}": slowest("workqueue_work_duration_seconds", "name")}, "s"),
    Panel(
        "Requests to the API server",
        {"{{method}} {{code}}": rate("rest_client_requests_total", "method", "code")},
        "reqps",
    ),
    Panel("Age of watches", {"{{resource}}": "max by (resource) (flywheel_watch_last_event_age_seconds)"}, "s"),
    Panel("Silent watches", {"{{resource}}": "max by (resource) (flywheel_watch_silent)"}),
    Panel(
        "Listings, and what watches had not told",
        {
            "{{resource}}": rate("flywheel_cache_listings_total", "resource"),
            "{{resource}} untold": rate("flywheel_cache_audit_drift_total", "resource"),
        },
        "ops",
    ),
    Panel("Event loop lag", {"{{instance}}": "flywheel_event_loop_lag_seconds"}, "s"),
    Panel(
        "Memory",
        {"{{instance}}": f"process_resident_memory_bytes {_OURS}"},
        "bytes",
    ),
    Panel(
        "CPU",
        {"{{instance}}": f"rate(process_cpu_seconds_total[$__rate_interval]) {_OURS}"},
        "percentunit",
    ),
)
