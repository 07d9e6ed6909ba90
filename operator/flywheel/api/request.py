"""What the operator asks of one attempt of one step: the only thing a step's pod is told (FLYWHEEL_REQUEST).

Every path is relative to the workspace, but `model_path` and `repository_path`, which are paths of the file system:
the base model's folder (read-only) and the server's model repository.
Inputs name exactly what the pod may read; nothing else is mounted.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field

from flywheel.api.endpoint import ConfigMapKeyRef, Header, QueryParameter, StructuredOutputs
from flywheel.api.item import Truth
from flywheel.api.jobs import StepName
from flywheel.api.leakage import Leakage
from flywheel.api.model import Closed, Digest, RelativePath, Share, list_type
from flywheel.api.money import Allowance
from flywheel.api.privacy import Redact
from flywheel.api.repository import Selection
from flywheel.api.target import ServerTls
from flywheel.api.task import Task
from flywheel.api.workspace import S3Object


class Input(Closed):
    """A finished directory that the step reads; its manifest must have this digest."""

    name: str = Field(description="Role of the input in the step, such as curriculum, best or adapter.")
    path: RelativePath = Field(description="Directory that holds manifest.json.")
    digest: Digest = Field(description="Digest of that manifest.json.")
    parts: list[RelativePath] = Field(
        default_factory=list[str],
        description="Files and folders below path that are mounted and checked; all of them when empty.",
    )


SourceFormat = Literal["Jsonl", "Alpaca", "Chat", "RequestLog"]
Order = Literal["Shuffled", "Staged"]


class Source(Closed):
    """One source for prepare: a file of items, or a folder of code."""

    name: str
    truth: Truth
    group: str
    path: RelativePath
    volume: str | None = Field(
        default=None, description="Folder of the file system below which path is: a volume of the source's own."
    )
    s3: S3Object | None = Field(
        default=None, description="The object that the pod's sidecar writes to path when it is asked."
    )
    format: SourceFormat = "Jsonl"
    max_rejected: int = 0
    repository: Selection | None = Field(default=None, description="Which files of the folder are read.")


class PrepareParameters(Closed):
    """Make a revision of a Curriculum from its sources."""

    step: Literal["prepare"] = "prepare"
    task: Task
    template: str = Field(description="Text of prompts/task.j2, pinned into the revision.")
    sources: list[Source]
    pools_key: str
    ratios: dict[str, Share]
    leakage: Leakage = Leakage()


class TeacherParameters(Closed):
    """How the teacher is asked. The key comes from the Secret, never from here."""

    base_url: str
    model: str
    concurrency: int = 4
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    call_timeout_seconds: int = 300
    temperature: Decimal | None = None
    max_output_tokens: int = 4096
    allowance: Allowance | None = Field(default=None, description="What the run's budget leaves for this step.")
    served_model: str | None = Field(default=None, description="Digest of the model's name that answered first.")
    headers: list[Header] = Field(default_factory=list[Header])
    query: list[QueryParameter] = Field(default_factory=list[QueryParameter])
    ca_bundle: ConfigMapKeyRef | None = Field(default=None, description="What is mounted where the pod is told.")
    proxy: str | None = None
    structured_outputs: StructuredOutputs | None = None


class Redaction(Closed):
    """What is replaced in prompts, and the key that surrogates are made with."""

    redact: Redact = Redact()
    key: str = ""


class FetchParameters(Closed):
    """Download a base model. `folder` is where it will be; what is beside it is scratch."""

    step: Literal["fetch"] = "fetch"
    repo: str
    revision: str
    folder: RelativePath


class PreflightParameters(Closed):
    """Ask the teacher once, for nothing. Inputs: curriculum (task.json)."""

    step: Literal["preflight"] = "preflight"
    teacher: TeacherParameters


class ExamParameters(Closed):
    """Inputs: curriculum (task.json, signatures.json, pools/exam), feedback (the last evaluate)."""

    step: Literal["exam"] = "exam"
    teacher: TeacherParameters
    questions: int
    redaction: Redaction = Redaction()
    votes: int = 3
    unguarded: bool = Field(default=False, description="Experiment: neither anchors nor votes nor blind labels.")


class AnswerParameters(Closed):
    """Inputs: curriculum (task.json), exam, adapter (a train attempt, part `adapter`; absent for the base model)."""

    step: Literal["answer"] = "answer"
    model_path: str
    batch_size: int = 32


class EvaluateParameters(Closed):
    """Inputs: curriculum (task.json, signatures.json, pools/curriculum), exam, answer, previous (the last evaluate)."""

    step: Literal["evaluate"] = "evaluate"
    teacher: TeacherParameters
    examples: int
    replay: Share
    control: bool = Field(default=False, description="Train on as many seed items instead: what does the teacher add?")
    redaction: Redaction = Redaction()
    votes: int = 3
    unguarded: bool = Field(default=False, description="Experiment: nothing is voted on.")


class Lora(Closed):
    """Shape of the adapter."""

    rank: int = Field(default=16, ge=1, le=512, description="Rank of the low-rank update.")
    alpha: int = Field(default=32, ge=1, le=1024, description="Scale of the update: alpha / rank.")
    target_modules: list[Annotated[str, Field(max_length=128)]] = Field(
        default=["all-linear"],
        min_length=1,
        max_length=16,
        description="Linear layers that are adapted, by the end of their names; all-linear for every one.",
        json_schema_extra=list_type("set"),
    )


class TrainParameters(Closed):
    """Inputs: curriculum (task.json), data (an evaluate). `resume` is the last attempt's folder, perhaps empty.

    Leaves the folder adapter/ (the adapter contract), curve.jsonl, order.jsonl, difficulty.jsonl where the order is
    staged, and checkpoints/ while it runs.
    """

    step: Literal["train"] = "train"
    model_path: str
    base_model_name: str | None = Field(default=None, description="Written as base_model_name_or_path; else the path.")
    epochs: int | None = None
    max_steps: int | None = None
    batch_size: int
    # As Python writes a decimal, longer than a spec may spell it: 10.001000000e-1 becomes 1.0001000000.
    learning_rate: Decimal = Field(gt=0, allow_inf_nan=False)
    lora: Lora
    order: Order = "Shuffled"
    label_weight: Decimal = Field(default=Decimal(1), ge=1, allow_inf_nan=False)
    shuffle_labels: bool = False
    resume: RelativePath | None = None


class Comparison(Closed):
    """Compare the arm under test with an arm recorded in another validate or test."""

    name: str = Field(description="Name in the figures, such as best or patience.")
    input: str = Field(description="Name of the input that holds the other arm's answers.")
    arm: str = Field(description="Name of the arm there.")


class TestTerms(Closed):
    """On what terms the test pool is opened: over all runs that share its items."""

    __test__ = False  # not a pytest class
    folder: RelativePath = Field(description="Where openings are recorded, mounted writable.")
    share: Decimal = Field(gt=0, lt=1, description="What this opening spends of alpha.")
    alpha: Decimal = Field(gt=0, lt=1, description="What all openings together may spend.")
    most: int = Field(ge=1, description="How often the items may be opened.")


class MeasureParameters(Closed):
    """validate and test: answer the held-out pool and compare.

    Inputs: curriculum (task.json, pools/<pool>, and pools/curriculum for fewShot and bagOfWords), adapter (the arm
    `candidate`; absent: untrained arms only), serving (a published adapter: the arm `incumbent`, over the items of
    groups that its card does not name), and the inputs that `comparisons` name.
    """

    step: Literal["validate", "test"]
    model_path: str
    pool: Literal["validation", "test"]
    untrained_arms: bool = Field(description="Also answer as base, likelihood, fewShot, majority and bagOfWords.")
    comparisons: list[Comparison] = Field(default_factory=list[Comparison])
    level: Decimal = Field(default=Decimal("0.95"), gt=0, lt=1, description="Confidence level of the intervals.")
    recall_versus: list[str] = Field(
        default_factory=list[str],
        description="Arms, by their names in the figures, against which the recall of each label is compared.",
    )
    opening: TestTerms | None = Field(default=None, description="On what terms the test pool is opened; test only.")
    probes: int = Field(default=0, description="Probe-pool items on which base and candidate disagree to record.")
    blanked: int = Field(
        default=0,
        ge=0,
        description="Items that the candidate answers again, each time with another text field of the question empty.",
    )
    batch_size: int = 32
    preflight: Lora | None = Field(
        default=None,
        description="What is going to be trained: its target modules must be in the model, and items must fit into it.",
    )


class ComparedModel(Closed):
    """A model that answers the same questions, to be compared with."""

    name: str = Field(description="Its name in the figures.")
    endpoint: TeacherParameters


class JudgeParameters(Closed):
    """Have a judge compare the candidate's texts with those of other arms, each pair in both orders.

    Inputs: curriculum (task.json, pools/test), tested (the test's answers), and the inputs that `versus` names.
    Keys: FLYWHEEL_JUDGE_*, and FLYWHEEL_COMPARED_<place>_* for each of `models`.
    """

    step: Literal["judge"] = "judge"
    judge: TeacherParameters
    versus: list[Comparison] = Field(description="Recorded arms; the first of them is what the gate looks at.")
    models: list[ComparedModel] = Field(default_factory=list[ComparedModel])
    items: int = Field(ge=1, description="Most items of the pool that are judged, drawn by the seed.")
    level: Decimal = Field(gt=0, lt=1, description="Confidence level of the intervals.")
    anchors: RelativePath | None = Field(default=None, description="JSONL of pairs that people have judged.")
    redaction: Redaction = Redaction()


class PublishParameters(Closed):
    """Inputs: adapter (a train attempt), measured (the test that passed, for card and probes); none where the adapter
    was published before.

    The adapter itself is the part `adapter` of its input.
    `output` is adapters/<ns>; the adapter's folder there is sealed with a manifest of its own.
    phase stage: adapters/<ns>/<digest>, and the candidate model in the server's repository.
    phase commit: the stable model's configuration on disk names the adapter.
    mount_path: of Triton's vLLM backend, where the serving pods have the repository; None for our own model.
    layout Folders (vLLM, NIM): a folder in the store instead, named candidate_model; there is no commit.
    phase retire: the folders named `retired` are removed from the store.
    """

    step: Literal["publish"] = "publish"
    phase: Literal["stage", "commit", "retire"]
    layout: Literal["Triton", "Folders"] = "Triton"
    adapter_digest: Digest
    serve_base: bool = Field(
        default=False, description="The bare student answers, asked as this adapter's contract says."
    )
    repository_path: str = Field(description="Folder of the server's model repository, mounted writable.")
    mount_path: str | None = None
    model: str
    candidate_model: str
    drop: list[Digest] = Field(
        default_factory=list[Digest], description="Adapters that the server's volume needs no more, at a commit."
    )
    run: str
    run_iteration: int
    retired: list[str] = Field(default_factory=list[str])


class VerifyParameters(Closed):
    """Ask serving pods the recorded probes. Inputs: adapter (adapters/<ns>/<digest> with probes.jsonl).

    With a margin also measured (the validate attempt's answers) and curriculum (pools/validation).
    """

    step: Literal["verify"] = "verify"
    model: str
    adapter_digest: Digest
    serve_base: bool = Field(default=False, description="The bare student is expected, not this adapter.")
    server: Literal["triton", "vllm", "nim"] = "triton"
    serving_model: str | None = Field(
        default=None,
        description="What serves now: under vllm and nim only probes that it answers otherwise tell the two apart.",
    )
    addresses: list[str] = Field(description="host:port of every serving pod: gRPC of Triton, else HTTP.")
    tls: ServerTls | None = None
    credentials: bool = Field(default=False, description="Whether the pod has FLYWHEEL_SERVING_*, from the Secret.")
    agreement: Share = Field(description="Share of probes whose parsed label must equal the recorded one.")
    minimum_probes: int = 20
    margin: Share | None = Field(
        default=None, description="Ask the first pod the validation pool, too: how far below it may be as served."
    )


class ReportParameters(Closed):
    """Read an attempt's result again from its manifest. `attempt_path` is mounted read-only."""

    step: Literal["report"] = "report"
    attempt_path: RelativePath


class CleanupParameters(Closed):
    """Remove what the iterations 1 to `through` left in `home`, but for the attempts to keep."""

    step: Literal["cleanup"] = "cleanup"
    home: RelativePath = Field(description="The run's folder, mounted writable.")
    through: int = Field(ge=1)
    keep: list[RelativePath] = Field(description="Folders of attempts.")


Parameters = Annotated[
    PrepareParameters
    | FetchParameters
    | PreflightParameters
    | ExamParameters
    | AnswerParameters
    | EvaluateParameters
    | TrainParameters
    | MeasureParameters
    | JudgeParameters
    | PublishParameters
    | VerifyParameters
    | ReportParameters
    | CleanupParameters,
    Field(discriminator="step"),
]


class StepRequest(Closed):
    """One attempt of one step."""

    version: Literal[1] = 1
    namespace: str
    owner: str = Field(description="Name of the Curriculum, FlywheelRun or AdapterDeployment that wants this.")
    iteration: int = 0
    attempt: int = Field(ge=1)
    seed: int = 0
    output: RelativePath = Field(description="Directory that the step may write: its attempt, or prepare's home.")
    also_writable: list[RelativePath] = Field(
        default_factory=list[str], description="ledger/<ns>, judged/<ns>, adapters/<ns>, openings/<ns>, models/<ns>."
    )
    inputs: list[Input] = Field(default_factory=list[Input])
    parameters: Parameters

    @property
    def step(self) -> StepName:
        """Name of the step."""
        return self.parameters.step

    def input(self, name: str) -> Input | None:
        """The input of that name, or None when the request has none."""
        return next((entry for entry in self.inputs if entry.name == name), None)

    def required(self, name: str) -> Input:
        """The input of that name; raises KeyError when the request has none."""
        found = self.input(name)
        if found is None:
            raise KeyError(f"the request for {self.step} has no input {name!r}")
        return found
