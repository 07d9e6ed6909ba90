"""Writes the Grafana dashboards of the chart: `write.py FOLDER [--check]`. What they show is in panels.py."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from panels import OPERATOR, RUNS, SERVING, Panel

from flywheel.api.generated import write_or_check

SCHEMA = 39  # Grafana 11; newer ones migrate it
WIDTH, HEIGHT, ACROSS = 8, 8, 3
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}


def panel(number: int, what: Panel) -> dict[str, Any]:
    """One panel at its place, three in a row."""
    table = what.kind == "table"
    targets = [
        {
            "datasource": DATASOURCE,
            "expr": query,
            "legendFormat": legend,
            "refId": chr(ord("A") + place),
            "instant": table,
            "range": not table,
            "format": "table" if table else "time_series",
        }
        for place, (legend, query) in enumerate(what.queries.items())
    ]
    return {
        "id": number + 1,
        "title": what.title,
        "type": what.kind,
        "datasource": DATASOURCE,
        "gridPos": {"x": number % ACROSS * WIDTH, "y": number // ACROSS * HEIGHT, "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {"defaults": {"unit": what.unit}, "overrides": []},
        "options": {},
        "targets": targets,
    }


def variable(name: str, query: str) -> dict[str, Any]:
    """A choice among the values of a label; all of them at first."""
    return {
        "name": name,
        "type": "query",
        "datasource": DATASOURCE,
        "query": {"query": query, "refId": name},
        "definition": query,
        "refresh": 2,
        "includeAll": True,
        "allValue": ".*",
        "multi": True,
        "sort": 1,
        "current": {"text": ["All"], "value": ["$__all"]},
    }


def dashboard(name: str, title: str, panels: Sequence[Panel], objects: str = "") -> dict[str, Any]:
    """`objects` is a series with the names to choose from."""
    variables = [{"name": "datasource", "type": "datasource", "query": "prometheus"}]
    if objects:
        variables.append(variable("namespace", f"label_values({objects}, namespace)"))
        variables.append(variable("name", f'label_values({objects}{{namespace=~"$namespace"}}, name)'))
    return {
        "uid": f"flywheel-{name}",
        "title": f"Flywheel / {title}",
        "tags": ["flywheel"],
        "schemaVersion": SCHEMA,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "1m",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": variables},
        "panels": [panel(number, what) for number, what in enumerate(panels)],
    }


def dashboards() -> dict[str, dict[str, Any]]:
    """By file name."""
    return {
        "runs.json": dashboard("runs", "Runs", RUNS, "flywheel_run_iteration"),
        "serving.json": dashboard("serving", "Serving", SERVING, "flywheel_deployment_condition"),
        "operator.json": dashboard("operator", "Operator", OPERATOR),
    }


def main() -> None:
    """Write the files, or fail with --check when one would change."""
    folder, check = Path(sys.argv[1]), "--check" in sys.argv
    made = {folder / name: json.dumps(value, indent=1) + "\n" for name, value in dashboards().items()}
    write_or_check(made, "tools/dashboards/panels.py", check=check)


if __name__ == "__main__":
    main()
