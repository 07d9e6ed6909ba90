"""From a request to a student and its tokens, with the adapter that the plan names, checked against its contract."""

from __future__ import annotations

from flywheel.api.task import PreparedTask
from flywheel.data.tokens import TaskTokens
from flywheel.workspace.adapter import FOLDER
from flywheel.workspace.program import Attempt
from flywheel_student.contract import check_contract, contract_of
from flywheel_student.model import Student, load_student, load_tokenizer, model_folder


def open_student(attempt: Attempt, prepared: PreparedTask, model_path: str) -> tuple[Student, TaskTokens]:
    """Raises BadInputError where there is no model, or the adapter was made for another."""
    folder = model_folder(model_path)
    entry = attempt.input("adapter")
    if entry is None:
        student = load_student(folder)
        return student, TaskTokens(prepared, student.tokenizer)
    adapter = attempt.workspace.local(f"{entry.path}/{FOLDER}")
    # dtype is left out of the comparison.
    check_contract(adapter, contract_of(TaskTokens(prepared, load_tokenizer(folder)), folder, dtype=""))
    student = load_student(folder, adapter)
    return student, TaskTokens(prepared, student.tokenizer)
