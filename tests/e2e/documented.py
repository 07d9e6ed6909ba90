"""Commands of the documents, run as they stand on the cluster that the demo left: those of one document in one shell.

Must not know what they are to say: tests of what they show are elsewhere.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from cluster import ROOT, SYSTEM, kubectl
from shell_blocks import classified, commands, documents

_RUN = set(classified()["[run after the demo]"])
DOCUMENTS = [name for name in documents() if _RUN & commands(name).keys()]
_PORT = re.compile(r"(?:PORT=| )(\d{4})\b(?=[^=]*&$)")
# A reader sees when a server is up; a script has to ask.
_LISTENS = "for _ in $(seq 300); do (: </dev/tcp/127.0.0.1/{port}) 2>/dev/null && break; sleep 0.1; done"


def run(document: str, folder: Path) -> str:
    """What its commands print; raises AssertionError with it when one fails. `folder` is where they write."""
    for path in ROOT.iterdir():
        (folder / path.name).symlink_to(path)
    lines = ["trap 'kill $(jobs -p) 2>/dev/null || true' EXIT", "set -x"]
    for known, text in commands(document).items():
        if known in _RUN:
            lines.append(_named(text))
            lines += [_LISTENS.format(port=port) for port in _PORT.findall(known)]
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(lines)], cwd=folder, env=_environment(folder),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=180,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:]
    return done.stdout


def _named(text: str) -> str:
    """The demo's names in place of those that a reader is to fill in."""
    names = {
        "OPERATOR_NAMESPACE": SYSTEM,
        "NAMESPACE": "review",
        "NAME": "severity" if " adep NAME" in text else "severity-2026-11",
        "STEP": "train",
        "SERVICE": "triton",
    }
    return re.sub(rf"\b({'|'.join(names)})\b", lambda found: names[found[1]], text)


def _environment(folder: Path) -> dict[str, str]:
    """kubectl looks into the demo's namespace, as a reader would have it."""
    config = folder / "kubeconfig"
    config.write_text(kubectl("config", "view", "--raw", "--flatten"))
    config.chmod(0o600)
    kubectl("config", "set-context", "--current", "--namespace=review", f"--kubeconfig={config}")
    return {**os.environ, "KUBECONFIG": str(config)}
