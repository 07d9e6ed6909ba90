"""The page: data stays text, nothing is fetched, what is missing is said, and the same run is the same bytes."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from finished_run import ROOT
from html_pages import Seen
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from flywheel.api.adapterdeployment import AdapterDeployment
from flywheel.cli.main import app
from flywheel.report.blocks import Facts, Figure, Sample, Samples, Table, text
from flywheel.report.charts import bars, forest, line_chart
from flywheel.report.page import Section, page, render
from flywheel.report.resources import BadResourcesError, Resources, read_resources
from flywheel.report.run import find_run
from flywheel.workspace.digest import digest_bytes

NAME = "local/severity-run"
HOSTILE = "</pre></td><script>alert(1)</script><img src=x onerror=alert(1)> '\"--><svg onload=alert(1)>&lt;"
NOT_FETCHING = {"html", "head", "meta", "title", "style", "body", "header", "main", "nav", "section", "article", "span"}
NOT_FETCHING |= {"h1", "h2", "h3", "p", "ul", "li", "a", "strong", "code", "pre", "dl", "div", "dt", "dd"}
NOT_FETCHING |= {"table", "caption", "thead", "tbody", "tr", "th", "td", "figure", "figcaption"}
NOT_FETCHING |= {"svg", "g", "line", "path", "circle", "rect", "text"}
WORDS = st.text(max_size=60) | st.sampled_from([HOSTILE, "{{ 7 * 7 }}", "javascript:alert(1)", "\x00\x1b", "\ud800"])


def copied(home: Path, folder: Path) -> Path:
    copy = folder / "copy"
    shutil.copytree(home, copy)
    return copy


def planted(copy: Path, pattern: str, edit: Callable[[str], str]) -> None:
    """A file changed, and its manifest with it: as if a step had written it so."""
    (path,) = copy.glob(pattern)
    path.write_text(edit(path.read_text()))
    folder = next(parent for parent in path.parents if (parent / "manifest.json").exists())
    manifest = json.loads((folder / "manifest.json").read_text())
    (entry,) = [file for file in manifest["files"] if file["path"] == path.relative_to(folder).as_posix()]
    entry["digest"] = digest_bytes(path.read_bytes())
    (folder / "manifest.json").write_text(json.dumps(manifest))


def everywhere(words: str) -> bytes:
    """A page that has these words wherever data can stand."""
    values = [(1.0, 0.5, 0.2, 0.8), (2.0, 0.6, None, None)]
    charts = [
        line_chart("Lines", ("x", "y"), [(words, "c1", values), (words, "c2", values)], (0, 1), rules=[(0.5, words)]),
        forest(words, [(words, [("c1", 0.5, 0.1, 0.9)])], [(words, "c1")]),
        bars(words, words, [(words, 0.0, [(words, 3.0, 50)])], [(words, 50)]),
    ]
    blocks = [
        Table(words, [words, words], [[text(words), text(words)]], words),
        Facts(words, [(words, text(words))]),
        Samples(words, [Sample(words, True, [(words, words)], [(words, words)])]),
        *(Figure(words, chart, words) for chart in charts),
    ]
    return render(words, [Section("Section", blocks, [words])], control=True, rehearsal=True)


@given(WORDS)
def test_no_text_makes_an_element(words: str) -> None:
    plain, seen = Seen(everywhere("x")), Seen(everywhere(words or "x"))
    assert seen.tags == plain.tags
    assert [set(attributes) for _, attributes in seen.elements] == [set(attributes) for _, attributes in plain.elements]


def test_hostile_data_of_a_run_stays_text(home: Path, resources: Resources, tmp_path: Path) -> None:
    copy = copied(home, tmp_path)
    exam = "runs/local/severity-run-????????/iter-2/exam/a1/exam.jsonl"
    planted(copy, exam, lambda lines: _with_code(lines, HOSTILE + " AKIA" + "QWERTYUIOPASDFGH"))
    hostile = [run.model_copy(deep=True) for run in resources.runs]
    for run in hostile:
        run.status.conditions[0] = run.status.conditions[0].model_copy(update={"message": HOSTILE})
    made = page(find_run(copy, NAME, Resources(resources.curricula, hostile)))
    seen = Seen(made)
    assert set(seen.tags) <= NOT_FETCHING
    assert seen.text.count(HOSTILE) > 2 and b"<script" not in made and b"<img" not in made
    assert b"QWERTYUIOPASDFGH" not in made, "what is shown of a question is redacted"


def _with_code(lines: str, code: str) -> str:
    questions = [json.loads(line) for line in lines.splitlines()]
    for question in questions:
        question["question"]["code"] = code
    return "".join(json.dumps(question) + "\n" for question in questions)


def test_nothing_is_fetched(home: Path, resources: Resources) -> None:
    made = page(find_run(home, NAME, resources))
    seen = Seen(made)
    assert set(seen.tags) <= NOT_FETCHING
    attributes = {(tag, name) for tag, found in seen.elements for name in found}
    assert not {name for _, name in attributes} & {
        "src",
        "srcset",
        "data",
        "action",
        "poster",
        "background",
        "xlink:href",
    }
    links = [found["href"] for _, found in seen.elements if "href" in found]
    anchors = {found["id"] for _, found in seen.elements if "id" in found}
    assert links and all(link.startswith("#") and link[1:] in anchors for link in links)
    (style,) = re.findall(rb"<style>(.*?)</style>", made, re.DOTALL)
    assert b"url(" not in style and b"@import" not in style
    policies = [found["content"] for _, found in seen.elements if found.get("http-equiv") == "Content-Security-Policy"]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'; img-src data:"]


def test_every_chart_has_a_title_and_a_table(home: Path, resources: Resources) -> None:
    made = page(find_run(home, NAME, resources)).decode()
    drawn = re.findall(r"<svg[^>]*>\s*<title>([^<]+)", made)
    assert len(drawn) == made.count("<svg") >= 9
    assert all(title.endswith("a table follows") for title in drawn)


def test_the_same_run_is_the_same_bytes_also_without_our_command(home: Path) -> None:
    alone = page(find_run(home, NAME, Resources()))
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "operator"), "PYTHONHASHSEED": "7"}
    command = [sys.executable, "-m", "flywheel.report", str(home), NAME]
    again = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    assert again.stdout == alone


def test_what_is_missing_is_said(home: Path, tmp_path: Path) -> None:
    alone = Seen(page(find_run(home, NAME, Resources())))
    assert alone.text.count("the FlywheelRun was not given: see --resources.") >= 6
    assert "Nothing that this page knows of" not in alone.text
    copy = copied(home, tmp_path)
    (run,) = copy.glob("runs/local/severity-run-????????")
    shutil.rmtree(run / "iter-1/test")
    (run / "iter-2/train/a1/curve.jsonl").unlink()
    answers = run / "iter-0/validate/a1/answers/base.jsonl"
    answers.write_text(answers.read_text().replace('"minor"', '"major"'))
    told = Seen(page(find_run(copy, NAME, Resources()))).text
    for words in ("no finished test", "curve.jsonl is gone", "base.jsonl differs from its manifest"):
        assert words in told and words not in alone.text
    for path in run.rglob("manifest.json"):
        os.utime(path, (1e9, 1e9))
    assert "copied without them" in Seen(page(find_run(copy, NAME, Resources()))).text


def test_iterations_that_were_cleaned_up_are_from_status(home: Path, resources: Resources, tmp_path: Path) -> None:
    before = Seen(page(find_run(home, NAME, resources))).rows("Every iteration")
    copy = copied(home, tmp_path)
    (run,) = copy.glob("runs/local/severity-run-????????")
    shutil.rmtree(run / "iter-1")
    seen = Seen(page(find_run(copy, NAME, resources)))
    after = seen.rows("Every iteration")
    assert after[0][:5] == before[0][:5] and after[1] == before[1]
    assert "Iterations 1: from status" in seen.text


def test_a_rollout_is_told_from_the_deployment(home: Path, resources: Resources) -> None:
    (run,) = [run for run in resources.runs if run.metadata.name == "severity-run"]
    spec = run.spec.model_copy(update={"deployment_ref": run.spec.curriculum_ref})
    run = run.model_copy(update={"spec": spec})
    assert run.status.candidate is not None
    taken = {
        "run": "severity-run",
        "iteration": 1,
        "runCreated": "2026-11-21T06:00:00Z",
        "workspace": {"persistentVolumeClaim": {"claimName": "flywheel"}},
        "since": "2026-11-21T07:30:00Z",
    }
    old = {**taken, "digest": "sha256:" + "5" * 64, "run": "an-earlier-run"}
    status = {"serving": {**taken, "digest": run.status.candidate.digest}, "previous": [old], "rollouts": 2}
    target = yaml.safe_load((ROOT / "examples/code-review/adapterdeployment.yaml").read_text())["spec"]
    deployment = AdapterDeployment.model_validate(
        {"metadata": {"name": "severity", "namespace": "local"}, "spec": target, "status": status}
    )
    seen = Seen(page(find_run(home, NAME, Resources(resources.curricula, [run], [deployment]))))
    assert [row[:4] for row in seen.rows("Rollout history")] == [
        ["serving", run.status.candidate.digest[:19], "severity-run (this run)", "1"],
        ["served before", "sha256:" + "5" * 12, "an-earlier-run", "1"],
    ]


def test_resources_are_read_as_kubectl_prints_them(home: Path, resources: Resources, tmp_path: Path) -> None:
    objects = [entry.to_json_object() for entry in (*resources.curricula[:1], *resources.runs)]
    listed = {"apiVersion": "v1", "kind": "List", "items": [*objects, {"kind": "Pod"}]}
    (tmp_path / "all.yaml").write_text(yaml.safe_dump(listed))
    given = read_resources(tmp_path)
    assert page(find_run(home, NAME, given)) == page(find_run(home, NAME, resources))
    another = given.runs[0].metadata.model_copy(update={"uid": "f" * 32})
    assert (
        Resources(runs=[given.runs[0].model_copy(update={"metadata": another})]).run(find_run(home, NAME, given).home)
        is None
    )
    objects[1]["spec"]["exam"]["questions"] = "many"
    (tmp_path / "all.yaml").write_text(yaml.safe_dump_all(objects))
    with pytest.raises(BadResourcesError, match=r"all\.yaml: spec\.exam\.questions"):
        read_resources(tmp_path)
    (tmp_path / "all.yaml").write_text("kind: Pod")
    with pytest.raises(BadResourcesError, match="holds no FlywheelRun"):
        read_resources(tmp_path)


def test_the_command_writes_a_file_or_says_why_not(home: Path, resources: Resources, tmp_path: Path) -> None:
    output = tmp_path / "page.html"
    told = CliRunner().invoke(app, ["report", str(home), NAME, "--output", str(output)])
    assert told.exit_code == 0 and str(output) in told.output
    assert output.read_bytes() == page(find_run(home, NAME, resources)), "a local run keeps its resources"
    for name in ("local/none", None):
        told = CliRunner().invoke(app, ["report", str(home), *([name] if name else []), "--output", str(output)])
        assert told.exit_code == 1 and "name one run as namespace/name" in told.output


def test_a_local_run_ends_with_its_report(home: Path, resources: Resources, tmp_path: Path, monkeypatch: Any) -> None:
    copy, folder = copied(home, tmp_path), tmp_path / "given"
    shutil.copytree(home / "datasets", folder / "datasets")
    (run,) = [run for run in resources.runs if run.metadata.name == "severity-run"]
    for entry in (resources.curricula[0], run):
        (folder / f"{entry.kind}.yaml").write_text(yaml.safe_dump(entry.to_json_object()))
    monkeypatch.setenv("FLYWHEEL_TEACHER_API_KEY", "canary")
    monkeypatch.setenv("FLYWHEEL_TEACHER_HOSTS", "127.0.0.1")
    installed = subprocess.CompletedProcess([], 0, stdout=sys.executable)
    monkeypatch.setattr("flywheel.local.programs.subprocess.run", lambda *_, **__: installed)
    told = CliRunner().invoke(app, ["run", "--local", str(folder), "--workspace", str(copy)])
    assert told.exit_code == 0 and f"Report: {copy / 'report.html'}" in told.output
    assert Seen((copy / "report.html").read_bytes()).rows("Every iteration")
