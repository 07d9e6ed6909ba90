"""Orders within the data: whatever their kind, they stay data, and change no score and no label of other items."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from redactors import PLAIN

from flywheel.api.item import Answer, Question
from flywheel.api.leakage import Leakage
from flywheel.api.request import TeacherParameters
from flywheel.api.task import LabelField, Task
from flywheel.data.firewall import Firewall, signatures
from flywheel.data.schemas import TaskSchemas
from flywheel.data.scoring import figures, score
from flywheel.steps.material import task_variables
from flywheel.teacher.asking import Teacher
from flywheel.teacher.feedback import Feedback, without_quotations
from flywheel.teacher.labelling import Labeller, Panel
from flywheel.teacher.ledger import Ledger, Reply
from flywheel.teacher.prompts import load_prompt
from flywheel.teacher.replies import read_items, read_object
from flywheel.teacher.shapes import items_shape
from flywheel.teacher.writing import Order, Writer
from flywheel.workspace.store import Workspace

INJECTIONS = [json.loads(line) for line in (Path(__file__).parent / "injections.jsonl").read_text().split("\n") if line]
KINDS = pytest.mark.parametrize("text", [entry["text"] for entry in INJECTIONS], ids=[e["kind"] for e in INJECTIONS])
LABELS = ["critical", "major", "minor", "trivial"]
TASK = Task(
    instructions="Rate.",
    input_schema={"type": "object", "required": ["code"]},
    output_schema={"type": "object", "properties": {"issue_type": {"enum": LABELS}}, "required": ["issue_type"]},
    label=LabelField(path="issue_type", order=LABELS),
)
MARK = "3f9c"
GRADE = {"proficiency": 4, "feedback": {"strengths": [], "weaknesses": ["Major is weak."]}}


def test_there_are_kinds_enough() -> None:
    assert len({entry["kind"] for entry in INJECTIONS}) >= 30


def rendered(template: str, text: str) -> str:
    """A real prompt with the text wherever data goes: seeds, answers, feedback and figures."""
    item = {"question": {"code": text}, "answer": {"issue_type": "minor"}, "model_answer": text}
    findings = {"proficiency": 3, "feedback": {"strengths": [text], "weaknesses": [text]}, "marks": {"note": text}}
    variables: dict[str, Any] = {
        **task_variables(TASK),
        **{"label": "minor", "count": 3, "seeds": [item], "previous": findings, "findings": findings},
        **{"figures": {"note": text}, "answers": [item], "questions": [item], "units": [item]},
    }
    return load_prompt(template).render(variables, MARK)


@KINDS
@pytest.mark.parametrize("template", ["exam", "evaluation", "dataset", "labelling"])
def test_data_stays_between_its_marks_and_the_rest_of_the_prompt_is_the_same(template: str, text: str) -> None:
    block = re.compile(rf"^BEGIN DATA [a-z-]+ {MARK}\n(.*?)\n^END DATA [a-z-]+ {MARK}$", re.MULTILINE | re.DOTALL)
    prompt, plain = rendered(template, text), rendered(template, "x = 1")
    assert block.sub("", prompt) == block.sub("", plain)
    values = [json.loads(each) for each in block.findall(prompt)]
    assert len(values) == len(block.findall(plain))
    assert text in _strings(values)


def _strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return [text for each in inner for text in _strings(each)]


def marks(text: str, said: str | None) -> tuple[Any, list[int]]:
    """Figures of an exam in which one question and what was answered to it hold the text, and the right answers."""
    questions = [
        Question(id=str(n), question={"code": f"c{n}"}, answer={"issue_type": label}) for n, label in enumerate(LABELS)
    ]
    questions.append(Question(id="bad", question={"code": text}, answer={"issue_type": "critical"}))
    answers = [Answer(id=str(n), truth=label, label=LABELS[n // 2], text=label) for n, label in enumerate(LABELS)]
    answers.append(Answer(id="bad", truth="critical", label=said, text=text, state="ok" if said else "unparsable"))
    confusion = score(questions, {answer.id: answer for answer in answers}, "issue_type", LABELS)
    return figures(confusion, answers), list(confusion.correct.values())


@KINDS
def test_marks_do_not_depend_on_the_text(text: str) -> None:
    assert marks(text, None) == marks("x = 1", None)
    assert marks(text, "minor") == marks("x = 1", "minor")
    # A text for a label is no label.
    shown, correct = marks(text, text)
    assert correct == marks("x = 1", None)[1]
    assert text not in _strings(shown)


@KINDS
def test_a_reply_that_carries_the_text_keeps_its_items_and_labels(tmp_path: Path, text: str) -> None:
    told = [{"question": {"code": f"a{n}"}, "answer": {"issue_type": "minor"}} for n in range(2)]
    told.insert(1, {"question": {"code": text}, "answer": {"issue_type": "minor"}})
    for reply in (json.dumps({"dataset": told}), f"Here:\n```json\n{json.dumps({'dataset': told}, indent=1)}\n```"):
        read = read_items(Reply(text=reply, finish_reason="stop"), "dataset", ("question", "answer"))
        assert read.items == told
    graded = json.dumps(GRADE | {"note": text})
    assert (
        read_object(Reply(text=graded, finish_reason="stop"), ("proficiency", "feedback")).items[0]["proficiency"] == 4
    )
    assert [item.answer["issue_type"] for item in written(tmp_path, told)] == ["minor"] * 3


@KINDS
def test_a_teacher_that_obeys_gets_no_other_label_into_the_set(tmp_path: Path, text: str) -> None:
    obeyed = [{"question": {"code": text + str(n)}, "answer": {"issue_type": "trivial"}} for n in range(3)]
    good = [{"question": {"code": f"a{n}"}, "answer": {"issue_type": "minor"}} for n in range(3)]
    items = written(tmp_path, [*obeyed, *good])
    assert [(item.question["code"], item.answer["issue_type"]) for item in items] == [
        (f"a{n}", "minor") for n in range(3)
    ]


@KINDS
def test_feedback_that_passes_the_text_on_is_left_out(text: str) -> None:
    repeated = Feedback(weaknesses=[f"It says: {text}"[:600], "Major is weak."])
    kept, left_out = without_quotations(repeated, [{"code": text}])
    assert (kept.weaknesses, left_out) == (["Major is weak."], 1)


def written(root: Path, items: list[dict[str, Any]]) -> list[Any]:
    class Endpoint:
        settings: dict[str, Any] = {}  # noqa: RUF012

        def complete(self, text: str) -> Reply:
            if "You label questions" in text:
                questions = re.search(r"^BEGIN DATA questions (\S+)\n(.*?)\nEND DATA questions \1$", text, re.M | re.S)
                assert questions is not None
                labels = [{"number": each["number"], "label": "minor"} for each in json.loads(questions[2])]
                return Reply(text=json.dumps({"labels": labels}), finish_reason="stop")
            return Reply(text=json.dumps({"dataset": items}), finish_reason="stop")

    parameters = TeacherParameters(base_url="http://teacher/v1", model="gpt", concurrency=1)
    teacher = Teacher(parameters, Endpoint(), Ledger(Workspace(root), "ledger/ns"), "payer", 1, PLAIN)
    labeller = Labeller(teacher, Panel(load_prompt("labelling"), task_variables(TASK), 1, 1))
    firewall = Firewall(signatures([], Leakage()))
    writer = Writer(teacher, TaskSchemas(TASK), "issue_type", set(), firewall, labeller)

    def variables(label: str, count: int, _slot: str) -> dict[str, Any]:
        findings = GRADE | {"marks": {}}
        return {**task_variables(TASK), "label": label, "count": count, "seeds": [], "findings": findings}

    shape = items_shape("dataset", TASK)
    prompts = load_prompt("dataset"), load_prompt("repair")
    return writer.write(Order(*prompts, "dataset", "i1", {"minor": 3}, variables, "examples", shape))
