"""What may be asked of the service. Pure; what is wrong is said by its place, never by repeating it."""

from __future__ import annotations

from typing import Literal, Self

from diffs import NoCodeError, code_at, read_diff
from pydantic import BaseModel, ConfigDict, Field, model_validator
from rating import Severity

Question = dict[str, str]


class Closed(BaseModel):
    """What nobody asked for is a mistake."""

    model_config = ConfigDict(extra="forbid")


class Finding(Closed):
    """A review comment and the code that it is on, or where the request's diff shows that."""

    review: str = Field(min_length=1, max_length=16_384)
    code: str | None = Field(default=None, min_length=1, max_length=65_536)
    file: str | None = Field(default=None, min_length=1, max_length=1_024)
    line: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        given = (self.code is not None, self.file is not None, self.line is not None)
        if given not in ((True, False, False), (False, True, True)):
            raise ValueError("give code, or file and line of the diff")
        return self


class ReviewRequest(Closed):
    """Findings of one review."""

    repository: str = Field(min_length=1, max_length=200, pattern=r"\S")  # the group of what users say
    findings: list[Finding] = Field(min_length=1, max_length=200)
    diff: str | None = Field(default=None, max_length=1 << 20)

    def questions(self) -> list[Question]:
        """Each finding as the task's inputSchema has it. Raises NoCodeError."""
        patch = None if self.diff is None else read_diff(self.diff)
        found: list[Question] = []
        for place, each in enumerate(self.findings):
            code = each.code
            if each.file is not None and each.line is not None:
                if patch is None:
                    raise NoCodeError(f"findings.{place} names a line of a diff: give the diff, or the finding's code")
                code = code_at(patch, each.file, each.line)
            found.append({"code": str(code), "review": each.review})
        return found


class Correction(Closed):
    """What the answer should have been."""

    issue_type: Severity
    explanation: str | None = Field(default=None, min_length=1, max_length=400)


class Feedback(Closed):
    """What a user says of a finding."""

    verdict: Literal["accepted", "rejected", "corrected"]
    corrected: Correction | None = None

    @model_validator(mode="after")
    def _corrected(self) -> Self:
        if (self.verdict == "corrected") != (self.corrected is not None):
            raise ValueError("a corrected finding, and only that, has corrected: {issue_type}")
        return self
