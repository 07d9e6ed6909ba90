"""The CRDs in the chart: the same text as crds/, kept on uninstall, and left out when somebody else applies them."""

from __future__ import annotations

import base64
import gzip
import shutil
from pathlib import Path

import yaml
from chart import CHART, IMAGES, ROOT, helm, of_kind, rendered

KEEP = {"helm.sh/resource-policy": "keep"}
ETCD_LIMIT = 1024 * 1024  # of a Secret, which is how Helm stores a release


def originals() -> dict[str, dict[str, object]]:
    found = [yaml.load(path.read_text(), yaml.CSafeLoader) for path in (ROOT / "crds").glob("*.yaml")]
    return {entry["metadata"]["name"]: entry for entry in found}


def test_they_are_those_of_crds_and_kept() -> None:
    """To the last number and word: a detour over Helm's YAML would make floats of numbers."""
    made = {entry["metadata"]["name"]: entry for entry in of_kind(rendered(crds=True), "CustomResourceDefinition")}
    assert len(made) == 3
    assert all(entry["metadata"].pop("annotations") == KEEP for entry in made.values())
    assert made == originals()


def test_they_may_be_given_up_or_left_to_others() -> None:
    made = of_kind(rendered("--set=crds.keep=false", crds=True), "CustomResourceDefinition")
    assert {entry["metadata"]["name"]: entry for entry in made} == originals()
    assert of_kind(rendered(), "CustomResourceDefinition") == []


def test_what_they_say_is_no_template(tmp_path: Path) -> None:
    """A description may hold braces."""
    chart = shutil.copytree(CHART, tmp_path / "chart")
    file = chart / "files/crds/curricula.yaml"
    file.write_text(file.read_text().replace("singular: curriculum\n", "singular: '{{ fail \"x\" }}'\n"))
    (crd,) = (
        entry
        for entry in of_kind(rendered(chart=chart, crds=True), "CustomResourceDefinition")
        if entry["metadata"]["name"] == "curricula.flywheel.dev"
    )
    assert crd["spec"]["names"]["singular"] == '{{ fail "x" }}'


def test_a_release_fits_into_its_secret() -> None:
    """Helm stores the chart's files and what it rendered, packed: half of a Secret's limit at most."""
    files = b"".join(path.read_bytes() for path in sorted(CHART.rglob("*")) if path.is_file())
    manifest = helm("template", "flywheel", CHART, *IMAGES).stdout.encode()
    assert len(base64.b64encode(gzip.compress(files + manifest))) < ETCD_LIMIT / 2
