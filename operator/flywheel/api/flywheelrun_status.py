"""Status of a FlywheelRun: what the operator knows of a run. Must not know its spec."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from flywheel.api.conditions import Condition
from flywheel.api.curriculum import Attempt
from flywheel.api.jobs import StepName
from flywheel.api.judge_status import JudgeReport, PreferenceReport
from flywheel.api.model import DecimalText, Digest, Open, Ordinal, SpentText, list_map
from flywheel.api.pinned import PinnedRevision
from flywheel.api.result import Obstacle, ServedModel
from flywheel.api.workspace import WorkspaceRef


class Measured(Open):
    """Balanced accuracy on a held-out pool with its interval."""

    accuracy: DecimalText = Field(description="Balanced accuracy: the mean of the recalls of all labels.")
    low: DecimalText = Field(description="Lower bound.")
    high: DecimalText = Field(description="Upper bound.")
    items: int = Field(default=0, ge=0, description="Items measured.")
    unparsable: int = Field(default=0, ge=0, description="Answers that could not be read; they count as wrong.")
    over_long: int = Field(default=0, ge=0, description="Questions that did not fit the student; they count as wrong.")


class Arm(Measured):
    """One way of answering without training."""

    name: str = Field(
        max_length=32,
        description="base, likelihood or fewShot of the student; majority or bagOfWords without it; incumbent for what"
        " serves from another run.",
    )


class Gain(Open):
    """Paired difference between the candidate and another arm on the same items."""

    versus: str = Field(max_length=38, description="The arm compared with.")
    difference: DecimalText = Field(description="Candidate minus the other, in balanced accuracy.")
    low: DecimalText = Field(description="Lower bound.")
    high: DecimalText = Field(description="Upper bound.")


class Bounds(Open):
    """Of a figure that has a field of its own."""

    low: DecimalText = Field(description="Lower bound.")
    high: DecimalText = Field(description="Upper bound.")


class InflationGap(Open):
    """How much better the student looks on the teacher's questions than on the anchors of the same exam."""

    gap: DecimalText = Field(description="Balanced accuracy by the teacher's keys minus that on the anchors.")
    low: DecimalText = Field(description="Lower bound.")
    high: DecimalText = Field(description="Upper bound.")


class AcceptedStep(Open):
    """The attempt of a step whose manifest the operator accepted."""

    name: StepName = Field(description="Name of the step.")
    attempt: Annotated[Ordinal, Field(ge=1)] = Field(description="The attempt that won.")
    digest: Digest = Field(description="Digest of its manifest.")


class Iteration(Open):
    """One iteration, compact."""

    number: Ordinal = Field(description="Number of the iteration; 0 is the untrained student.")
    steps: list[AcceptedStep] = Field(
        default_factory=list[AcceptedStep],
        max_length=8,
        description="Accepted steps.",
        json_schema_extra=list_map("name"),
    )
    proficiency: int | None = Field(default=None, ge=1, le=10, description="The teacher's grade, 1 to 10.")
    exam_accuracy: DecimalText | None = Field(
        default=None, description="On the exam: by the teacher's key, and on its anchors by theirs."
    )
    exam_over_long: int = Field(default=0, ge=0, description="Exam questions that did not fit the student: wrong.")
    inflation_gap: InflationGap | None = Field(default=None, description="Exam by the teacher's key minus anchors.")
    training_items: int | None = Field(default=None, ge=0, description="Examples of the training set.")
    training_over_long: int = Field(
        default=0, ge=0, description="Of these, left out of training: they did not fit the student."
    )
    adapter: Digest | None = Field(default=None, description="Digest of the adapter trained.")
    loss: str | None = Field(default=None, max_length=16, description="Last training loss.")
    validation: Measured | None = Field(default=None, description="On the validation pool.")
    gains: list[Gain] = Field(
        default_factory=list[Gain],
        max_length=8,
        description="On the validation pool: this adapter minus other arms and adapters.",
        json_schema_extra=list_map("versus"),
    )
    tested: bool = Field(default=False, description="Whether the test pool was opened for it.")
    refused: bool = Field(default=False, description="Whether its test was refused: other runs have spent the pool.")


class Best(Open):
    """The best adapter so far on the validation pool: it sits the next exam."""

    iteration: int = Field(ge=1, description="Where it was trained.")
    digest: Digest = Field(description="Digest of the adapter.")
    accuracy: DecimalText = Field(description="Its balanced accuracy on the validation pool.")
    train: AcceptedStep = Field(description="The attempt that trained it.")
    validated: AcceptedStep = Field(description="The attempt that validated it.")


class Candidate(Open):
    """An adapter that passed the gate: what an AdapterDeployment may take."""

    iteration: int = Field(ge=1, description="Where it was trained.")
    digest: Digest = Field(description="Digest of the adapter.")
    train: AcceptedStep = Field(description="The attempt that trained it.")
    validated: AcceptedStep = Field(description="The attempt that validated it.")
    test: AcceptedStep = Field(description="The attempt that tested it, with its probes.")


class LeftItems(Open):
    """The items of a held-out pool that what serves may be measured on: those of groups that it was not trained on."""

    items: int = Field(ge=0, description="How many are left.")
    left_out: int = Field(ge=0, description="How many are of groups that it was trained on.")
    smallest_gain: DecimalText | None = Field(
        default=None, description="The smallest gain over it that they can show; absent where they can show none."
    )


class ServingIncumbent(Open):
    """What the deployment served, from another run, when this run started."""

    digest: Digest = Field(description="Digest of the adapter.")
    run: str = Field(max_length=253, description="The FlywheelRun that it came from.")
    iteration: int = Field(ge=1, description="The iteration that trained it.")
    path: str = Field(max_length=512, description="Its published folder in the workspace.")
    manifest: Digest | None = Field(default=None, description="Digest of that folder's manifest.")
    obstacle: Obstacle | None = Field(
        default=None,
        description="Why it cannot be measured: NotInWorkspace, ContractDiffers (another base model, tokenizer or"
        " template), or GroupsUnknown (its card does not say what it was trained on).",
    )
    validation: LeftItems | None = Field(default=None, description="What is left of the validation pool.")
    test: LeftItems | None = Field(default=None, description="What is left of the test pool.")


class FloorReport(Open):
    """Whether a label's recall is held on the test pool."""

    label: str = Field(max_length=63, description="The label.")
    low: DecimalText = Field(description="Lowest lower bound of the difference of recall.")
    margin: DecimalText = Field(description="The margin asked for.")
    held: bool = Field(description="Whether the bound is above minus the margin.")


class TestReport(Measured):
    """The last candidate on the test pool."""

    __test__ = False  # not a pytest class
    iteration: int = Field(ge=1, description="The iteration tested.")
    passed: bool = Field(description="Whether it passed the gate.")
    arms: list[Arm] = Field(
        default_factory=list[Arm],
        max_length=8,
        description="Untrained arms on the same items.",
        json_schema_extra=list_map("name"),
    )
    gains: list[Gain] = Field(
        default_factory=list[Gain],
        max_length=8,
        description="Candidate minus each arm.",
        json_schema_extra=list_map("versus"),
    )
    blanked: list[Gain] = Field(
        default_factory=list[Gain],
        max_length=4,
        description="Candidate minus itself with one text field of each question left empty (blank:<field>), on at"
        " most 100 of the items. Where it is not above 0, the adapter does not read that field. Decides nothing.",
        json_schema_extra=list_map("versus"),
    )
    floors: list[FloorReport] = Field(
        default_factory=list[FloorReport],
        max_length=16,
        description="The labels of gate.labels.",
        json_schema_extra=list_map("label"),
    )
    preferences: list[PreferenceReport] = Field(
        default_factory=list[PreferenceReport],
        max_length=8,
        description="Whose texts the judge prefers, where the run has one and the labels passed.",
        json_schema_extra=list_map("versus"),
    )


class RunUsage(Open):
    """What the run has cost so far."""

    teacher_calls: int = Field(default=0, ge=0, description="Teacher calls paid.")
    teacher_tokens: int = Field(default=0, ge=0, description="Teacher tokens charged, in and out.")
    teacher_input_tokens: int = Field(default=0, ge=0, description="Of these, tokens in.")
    teacher_output_tokens: int = Field(default=0, ge=0, description="Of these, tokens out.")
    teacher_cached_tokens: int = Field(default=0, ge=0, description="Of those in, found in the endpoint's cache.")
    lost_in_flight: int = Field(
        default=0, ge=0, description="Requests that were cut off: charged with the most that they can have cost."
    )
    unaffordable: int = Field(default=0, ge=0, description="Calls not made, because the budget did not cover them.")
    cost: DecimalText | None = Field(default=None, description="Cost at teacher.prices, rounded up.")
    pod_seconds: int = Field(default=0, ge=0, description="Seconds that the steps' pods ran, failed attempts included.")
    gpu_seconds: int = Field(default=0, ge=0, description="The same, times the GPUs of each pod.")


class PodTime(Open):
    """The run's newest pod: its time is counted once, when it has ended."""

    iteration: Ordinal = Field(description="Its iteration.")
    step: StepName = Field(description="Its step.")
    attempt: Ordinal = Field(description="Its attempt.")
    uid: Annotated[str, Field(max_length=63)] = Field(default="", description="Its uid.")
    since: AwareDatetime = Field(description="When the step began in it.")
    gpus: int = Field(default=0, ge=0, le=1_000_000, description="GPUs that it holds.")
    counted: bool = Field(default=False, description="Whether it has ended and is in usage.")


class ReplyCount(Open):
    """Replies of the teacher that were read in one way."""

    rung: Annotated[str, Field(max_length=32)] = Field(
        description="strict, block, items, repaired, none, cut, empty, refused or filtered."
    )
    count: int = Field(ge=0, description="How many.")


class TeacherError(Open):
    """How often the teacher labels trusted items of one label wrongly, without seeing it; over all iterations."""

    label: str = Field(max_length=63, description="The label that the items have.")
    items: int = Field(ge=0, description="How many of them the teacher labelled.")
    wrong: int = Field(ge=0, description="How many of these wrongly.")
    refused: int = Field(default=0, ge=0, description="How many more it refused to label.")
    error: DecimalText = Field(description="Share of wrong labels.")
    low: DecimalText = Field(description="Lower bound.")
    high: DecimalText = Field(description="Upper bound.")


class Shortage(Open):
    """Items that the teacher was to write and that are not there."""

    step: Literal["exam", "evaluate"] = Field(description="exam: questions; evaluate: training examples.")
    label: str = Field(max_length=63, description="The label.")
    missing: int = Field(ge=0, description="How many are missing.")
    reason: str = Field(
        max_length=32,
        description="The main reason: Budget, Refused, RoundsUsed (too few were written), or why most were left out.",
    )


class Quarantined(Open):
    """Items of the teacher that were held-out ones, for one reason."""

    reason: str = Field(max_length=64, description="HeldOutCopy (equal once normalised) or HeldOutNear.")
    items: int = Field(ge=0, description="How many were left out.")


class Redacted(Open):
    """Replacements of one kind."""

    kind: str = Field(max_length=32, description="secrets, emails, hosts or names.")
    replaced: int = Field(ge=0, description="How many were replaced.")


class LeakageReport(Open):
    """What the leakage firewall did: everything the teacher wrote is compared with every held-out item."""

    checked: int = Field(default=0, ge=0, description="Items of the teacher that were compared.")
    quarantined: list[Quarantined] = Field(
        default_factory=list[Quarantined],
        max_length=8,
        description="Items left out, by reason; listed in quarantine.jsonl of exam and evaluate.",
        json_schema_extra=list_map("reason"),
    )


class Progress(Open):
    """Of the running step, from its log; at most once a minute."""

    line: str = Field(max_length=512, description="The newest line of the step's log that reports progress.")
    time: datetime = Field(description="When it was read.")


class FlywheelRunStatus(Open):
    """What the operator knows of a run."""

    observed_generation: int = Field(default=0, ge=0, description="The generation of spec that this status is about.")
    conditions: list[Condition] = Field(
        default_factory=list[Condition],
        max_length=16,
        description="Ready, Reconciling, Stalled, Completed, Failed, HeldOutExhausted, Underpowered,"
        " PromptingSuffices, TeacherRefusals, TeacherUnreliable, QuotasShort, LeakageChecked, PreferenceLeakageRisk,"
        " IncumbentContaminated.",
        json_schema_extra=list_map("type"),
    )
    curriculum: PinnedRevision | None = Field(default=None, description="The revision that the run is pinned to.")
    workspace: WorkspaceRef | None = Field(default=None, description="Where its files are.")
    serving: ServingIncumbent | None = Field(
        default=None, description="What the deployment served from another run when this one started."
    )
    iteration: Ordinal = Field(default=0, description="Iteration at work; 0 measures the untrained student.")
    step: str | None = Field(default=None, max_length=32, description="Step at work.")
    attempt: Attempt | None = Field(default=None, description="Attempts of the step at work.")
    current: Iteration | None = Field(default=None, description="What the iteration at work has so far.")
    proficiency: int | None = Field(default=None, ge=1, le=10, description="The teacher's newest grade, 1 to 10.")
    exam_accuracy: DecimalText | None = Field(default=None, description="On the newest exam.")
    exam_bounds: Bounds | None = Field(default=None, description="Interval of the accuracy on the newest exam.")
    inflation_gap: InflationGap | None = Field(
        default=None, description="On the newest exam: by the teacher's key minus anchors."
    )
    validation: Measured | None = Field(default=None, description="The newest adapter on the validation pool.")
    baseline: list[Arm] = Field(
        default_factory=list[Arm],
        max_length=8,
        description="The untrained student on the validation pool, by arm.",
        json_schema_extra=list_map("name"),
    )
    baseline_step: AcceptedStep | None = Field(default=None, description="The attempt that measured the baseline.")
    best: Best | None = Field(default=None, description="The best adapter so far on the validation pool.")
    candidate: Candidate | None = Field(default=None, description="The newest adapter that passed the gate.")
    first_candidate: Candidate | None = Field(
        default=None, description="The first adapter that passed the gate: later ones may not fall far below it."
    )
    test: TestReport | None = Field(default=None, description="The newest test.")
    test_openings: int = Field(
        default=0, ge=0, description="How often the test pool was opened, by all runs that share its items."
    )
    alpha_spent: SpentText = Field(default="0", description="What these openings have spent of alpha.")
    first_test: AcceptedStep | None = Field(default=None, description="The test whose untrained arms are reused.")
    judge: JudgeReport | None = Field(default=None, description="The judge of texts, and what it was charged.")
    first_test_iteration: int | None = Field(default=None, ge=1, description="The iteration of that test.")
    history: list[Iteration] = Field(
        default_factory=list[Iteration],
        max_length=20,
        description="The newest iterations.",
        json_schema_extra=list_map("number"),
    )
    served_model: ServedModel | None = Field(
        default=None, description="Digest of the name of the model that the teacher's endpoint answered as."
    )
    replies: list[ReplyCount] = Field(
        default_factory=list[ReplyCount],
        max_length=16,
        description="Replies of the teacher, by how they were read.",
        json_schema_extra=list_map("rung"),
    )
    teacher_error: list[TeacherError] = Field(
        default_factory=list[TeacherError],
        max_length=16,
        description="How often the teacher's labels are wrong, by label.",
        json_schema_extra=list_map("label"),
    )
    voted_out: int = Field(default=0, ge=0, description="Items of the teacher that its own votes did not confirm.")
    shortages: list[Shortage] = Field(
        default_factory=list[Shortage],
        max_length=32,
        description="What the newest exam and the newest training examples fall short of, by label.",
        json_schema_extra=list_map("step", "label"),
    )
    usage: RunUsage = Field(default_factory=RunUsage, description="What the run has cost so far.")
    pod: PodTime | None = Field(default=None, description="The newest pod, for usage.podSeconds and gpuSeconds.")
    leakage: LeakageReport | None = Field(default=None, description="What the leakage firewall did so far.")
    redacted: list[Redacted] = Field(
        default_factory=list[Redacted],
        max_length=8,
        description="What was replaced in prompts, by kind.",
        json_schema_extra=list_map("kind"),
    )
    progress: Progress | None = Field(default=None, description="Of the running step.")
    started_at: datetime | None = Field(default=None, description="When the first step started.")
    ended_at: datetime | None = Field(default=None, description="When the run ended.")
