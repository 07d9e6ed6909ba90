"""Builds datasets/findings.jsonl and teacher.jsonl from those of code-review, with an explanation for each severity.

    python examples/code-review-explained/make_data.py

The explanation is what Ruff's own documentation of the rule says under "Why is this bad?": its first paragraph, by
whole sentences. Findings of other tools are left out. The same Ruff gives the same bytes; it is
pinned in ../code-review/tools.txt.
"""

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SIBLING = HERE.parent / "code-review"
sys.path.insert(0, str(SIBLING))

from pools import pool_of  # noqa: E402

Item = dict[str, Any]
SOURCES = {
    HERE / "datasets" / "findings.jsonl": SIBLING / "datasets" / "findings.jsonl",
    HERE / "teacher.jsonl": HERE.parent / "rehearsal-teacher" / "teacher.jsonl",
}
MOST_CHARS = 240
MOST = {"exam": 40, "curriculum": 60, "validation": 60, "test": 60, "probe": 12, "teacher": 120}  # of a label
WHY = re.compile(r"^## Why is this bad\?\s*\n(.*?)(?=\n\n|\n## |\Z)", re.DOTALL | re.MULTILINE)
SENTENCE = re.compile(r".+?[.!?](?=\s|$)")


def explanations() -> dict[str, str]:
    """By Ruff's rule, why it is bad."""
    pins = (SIBLING / "tools.txt").read_text(encoding="utf-8").split()
    pinned = next(pin for pin in pins if pin.startswith("ruff==")).removeprefix("ruff==")
    ruff = [sys.executable, "-P", "-m", "ruff"]
    found = subprocess.run([*ruff, "--version"], capture_output=True, text=True, check=True).stdout.split()[-1]
    if found != pinned:
        raise SystemExit(f"tools.txt pins ruff {pinned}, this is {found}: install that version")
    rules = subprocess.run(
        [*ruff, "rule", "--all", "--output-format", "json"], capture_output=True, text=True, check=True
    )
    reasons = {rule["code"]: reason(rule["explanation"] or "") for rule in json.loads(rules.stdout)}
    return {f"ruff:{code}": text for code, text in reasons.items() if text is not None}


def reason(documentation: str) -> str | None:
    """The first sentences under "Why is this bad?" that fit, or None."""
    found = WHY.search(documentation)
    if found is None:
        return None
    text = ""
    for sentence in SENTENCE.findall(" ".join(found[1].split())):
        if len(text) + len(sentence) > MOST_CHARS:
            break
        text = f"{text} {sentence.strip()}".strip()
    return text or None


def explained(items: list[Item], reasons: dict[str, str], pool_of_item: dict[str, str]) -> list[Item]:
    """The first items of each pool and label, by their ids, which are digests; the text stands beside the severity."""
    used: Counter[tuple[str, str]] = Counter()
    chosen: list[Item] = []
    for item in sorted(items, key=lambda entry: entry["id"]):
        pool, label = pool_of_item[item["id"]], item["output"]["issue_type"]
        if item["rule"] in reasons and used[pool, label] < MOST[pool]:
            used[pool, label] += 1
            chosen.append({**item, "output": {**item["output"], "explanation": reasons[item["rule"]]}})
    return chosen


def main() -> None:
    reasons = explanations()
    for output, source in SOURCES.items():
        items = [json.loads(line) for line in source.read_text(encoding="utf-8").splitlines()]
        taught = output.name == "teacher.jsonl"
        chosen = explained(items, reasons, {i["id"]: "teacher" if taught else pool_of(i["package"]) for i in items})
        output.write_text("".join(json.dumps(item, ensure_ascii=False) + "\n" for item in chosen), encoding="utf-8")
        counts = Counter(("teacher" if taught else pool_of(i["package"]), i["output"]["issue_type"]) for i in chosen)
        print(output.name, len(chosen), dict(sorted(counts.items())))


if __name__ == "__main__":
    main()
