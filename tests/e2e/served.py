"""What the demo's AdapterDeployment says that serves, and what answers."""

from __future__ import annotations

import subprocess
from typing import Any

from cluster import EXAMPLE, Namespace


def digest(review: Namespace) -> str:
    """What the stable name is, by status."""
    return review.get("adep", "severity")["status"]["serving"]["digest"]


def pods(review: Namespace) -> dict[str, dict[str, Any]]:
    """The serving pods by their names, as kubectl writes those."""
    return {f"pod/{pod['name']}": pod for pod in review.get("adep", "severity")["status"]["pods"]}


def by_pods(review: Namespace) -> list[str]:
    """What each serving pod answers as under the stable name. One that joined loads what the disk names, unasked."""
    return [pod["revision"] for pod in pods(review).values()]


def answering(review: Namespace) -> str:
    """What answers a question, through Triton's Service."""
    said = subprocess.run([str(EXAMPLE / "rate"), review.name], stdout=subprocess.PIPE, text=True, check=True).stdout
    return said.split("Served by: ")[1].strip()
