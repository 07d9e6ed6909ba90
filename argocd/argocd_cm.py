"""Writes argocd-cm.yaml from resource_customizations/: what an administrator adds to Argo CD's ConfigMap.

Run by `make generate`; with --check it only says whether the file is up to date.
"""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

from flywheel.api.generated import write_or_check

HERE = Path(__file__).parent
FILE = HERE / "argocd-cm.yaml"
HEAD = """\
# Generated from resource_customizations/ by `make generate`. Adds these keys to the ConfigMap of Argo CD, no others:
#   kubectl -n argocd apply --server-side --field-manager=flywheel -f argocd/argocd-cm.yaml
apiVersion: v1
kind: ConfigMap
metadata:
  name: argocd-cm
data:
"""


def rendered() -> str:
    """The ConfigMap: a key for each kind."""
    scripts = sorted((HERE / "resource_customizations").glob("*/*/health.lua"))
    return HEAD + "".join(_entry(script) for script in scripts)


def _entry(script: Path) -> str:
    group, kind = script.parent.parent.name, script.parent.name
    return f"  resource.customizations.health.{group}_{kind}: |\n" + textwrap.indent(script.read_text(), "    ")


if __name__ == "__main__":
    write_or_check({FILE: rendered()}, "resource_customizations/", check="--check" in sys.argv)
