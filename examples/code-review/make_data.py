"""Builds datasets/findings.jsonl and the rehearsal teacher's teacher.jsonl from real code and real findings.

    python examples/code-review/make_data.py

The same packages, tools and rules give the same bytes. Needs tools.txt installed; downloads about 600 MB once.
"""

import hashlib
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from corpus import HERE, Package, files, packages, read
from duplicates import Seen
from find import Finding, findings
from pools import HELD_OUT, RATIOS, pool_of
from units import Module, Unit
from wordings import LABELS, Topic, rule_table, topics, word

Item = dict[str, Any]
OUTPUTS = {
    "source": HERE / "datasets" / "findings.jsonl",
    "teacher": HERE.parent / "rehearsal-teacher" / "teacher.jsonl",
}
PER_PACKAGE = {"source": 14, "teacher": 22}  # items of one label
PER_TOPIC_AND_PACKAGE = 3
MORE_CRITICAL = 2  # few packages have many critical findings, so these may give more
PER_TOPIC = {"source": 70, "teacher": 110}
HELD_OUT_TOPIC = 10  # so that these stay below a tenth of the held-out items
# Comments to a linter say what was found.
DIRECTIVE = re.compile(r"noqa|nosec|pylint:|type: ?ignore|pragma:|pyright:|ruff:|mypy:|fmt:|lgtm|NOSONAR|flake8")


def candidates(package: Package, by_rule: dict[str, Topic]) -> list[Item]:
    """One item per unit at most, the finding of the rarest label first; units never overlap."""
    wide = sorted(rule for rule, topic in by_rule.items() if topic.label == "critical")
    found: dict[str, list[Finding]] = defaultdict(list)
    for finding in findings(package, sorted(by_rule), wide):
        topic = by_rule[finding.rule]
        if not topic.held_out or (package.role == "source" and pool_of(package.name) in HELD_OUT):
            found[finding.path].append(finding)
    items: list[Item] = []
    for path in files(package, everything=True):
        text = read(package, path)
        if text is not None and found[path.as_posix()]:
            items += _in_file(package, path, text, found[path.as_posix()], by_rule)
    return items


def _in_file(
    package: Package, path: Path, text: str, found: list[Finding], by_rule: dict[str, Topic]
) -> Iterable[Item]:
    try:
        module = Module(text)
    except SyntaxError:  # templates and tests of parsers
        return
    taken: set[int] = set()
    for finding in sorted(found, key=lambda f: (LABELS.index(by_rule[f.rule].label), f.line, f.column, f.rule)):
        unit = module.unit(finding.line)
        if unit and not DIRECTIVE.search(unit.code) and not taken & set(range(unit.first, unit.last + 1)):
            item = _item(package, path, finding, unit, module, by_rule[finding.rule])
            if item:
                taken |= set(range(unit.first, unit.last + 1))
                yield item


def _item(package: Package, path: Path, finding: Finding, unit: Unit, module: Module, topic: Topic) -> Item | None:
    key = hashlib.sha256(f"{package.name}\0{path.as_posix()}\0{unit.code}\0{topic.name}".encode()).hexdigest()[:16]
    fields = {
        "name": finding.name,
        "call": module.call(finding.line, finding.column),
        "unit": unit.name,
        "line": str(finding.line - unit.first + 1),
    }
    review = word(topic, key, package.role, fields)
    if review is None:
        return None
    return {
        "id": key,
        "input": {"code": unit.code, "review": review},
        "output": {"issue_type": topic.label},
        "package": package.name,
        "file": path.as_posix(),
        "rule": finding.rule,
        "topic": topic.name,
        "heldOutRule": topic.held_out,
    }


def choose(items: list[Item], role: str, seen: Seen) -> list[Item]:
    """A spread of topics and packages: rounds over both, until every label of every package has its share."""
    rounds: dict[int, list[Item]] = defaultdict(list)
    counts: Counter[tuple[str, ...]] = Counter()
    for item in sorted(items, key=lambda item: item["id"]):
        counts[item["package"], item["topic"]] += 1
        rounds[counts[item["package"], item["topic"]]].append(item)
    chosen: list[Item] = []
    used: Counter[tuple[str, ...]] = Counter()
    for turn in sorted(rounds)[
        : PER_TOPIC_AND_PACKAGE * MORE_CRITICAL * 3
    ]:  # later rounds replace duplicates of the first
        for item in rounds[turn]:
            limits = _limits(item, role)
            if all(used[place] < limit for place, limit in limits.items()) and seen.add(item["input"]["code"]):
                used.update(limits.keys())
                chosen.append(item)
    return sorted(chosen, key=lambda item: item["id"])


def _limits(item: Item, role: str) -> dict[tuple[str, ...], int]:
    label = item["output"]["issue_type"]
    more = MORE_CRITICAL if label == "critical" else 1
    return {
        ("package", item["package"], label): PER_PACKAGE[role] * more,
        ("both", item["package"], item["topic"]): PER_TOPIC_AND_PACKAGE * more,
        ("topic", item["topic"]): HELD_OUT_TOPIC if item["heldOutRule"] else PER_TOPIC[role],
    }


def table(items: list[Item]) -> str:
    """Items per pool and label, and how many of a rule that only held-out pools have."""
    counts = Counter((pool_of(item["package"]), item["output"]["issue_type"]) for item in items)
    held = Counter(pool_of(item["package"]) for item in items if item["heldOutRule"])
    lines = ["| pool | " + " | ".join(LABELS) + " | all | held-out rules |", "|---" * (len(LABELS) + 3) + "|"]
    for pool in RATIOS:
        row = [counts[pool, label] for label in LABELS]
        lines.append(f"| {pool} | " + " | ".join(map(str, [*row, sum(row), held[pool]])) + " |")
    return "\n".join(lines)


def write_rule_table() -> None:
    head = "# Which rule means which severity\n\nWritten by make_data.py from the tables beside this file.\n\n"
    (HERE / "rules" / "README.md").write_text(head + rule_table() + "\n", encoding="utf-8")


def main() -> None:
    write_rule_table()
    by_rule = {rule: topic for topic in topics() for rule in topic.rules}
    seen = Seen()  # shared, so that the teacher knows nothing close to an item of the source
    for role, output in OUTPUTS.items():
        found = [item for p in packages() if p.role == role for item in candidates(p, by_rule)]
        chosen = choose(found, role, seen)
        output.parent.mkdir(parents=True, exist_ok=True)
        lines = [json.dumps(item, ensure_ascii=False) + "\n" for item in chosen]
        output.write_text("".join(lines), encoding="utf-8")
        print(
            f"{output.name}: {len(chosen)} of {len(found)} candidates,",
            dict(Counter(item["output"]["issue_type"] for item in chosen)),
        )
        if role == "source":
            print(table(chosen))


if __name__ == "__main__":
    main()
