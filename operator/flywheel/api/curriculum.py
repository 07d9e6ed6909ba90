"""Curriculum: what is to be learned, from which data. Its revisions are made by the prepare Job."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, Field, model_validator

from flywheel.api.conditions import Condition
from flywheel.api.item import Truth
from flywheel.api.jobs import Jobs
from flywheel.api.leakage import Leakage
from flywheel.api.metadata import Metadata
from flywheel.api.model import (
    IMMUTABLE,
    Closed,
    ConfigMapKey,
    Digest,
    LocalRef,
    Open,
    Ordinal,
    RelativePath,
    Rule,
    Share,
    Word,
    list_map,
    rules,
)
from flywheel.api.privacy import Privacy
from flywheel.api.repository import Repository
from flywheel.api.request import Order, SourceFormat
from flywheel.api.task import Task
from flywheel.api.workspace import S3Object, WorkspaceRef

_ONE_PLACE = "name path, configMap or s3, and only one of them"


class KeyRef(LocalRef):
    """A key of a ConfigMap in the same namespace."""

    key: ConfigMapKey = Field(description="Key of the ConfigMap.")


class Dataset(Closed):
    """A file with one JSON object a line, which also has the group's field."""

    model_config = Closed.model_config | {
        "json_schema_extra": rules(
            Rule("[has(self.path), has(self.configMap), has(self.s3)].exists_one(there, there)", _ONE_PLACE)
        )
    }

    path: RelativePath | None = Field(default=None, description="Path of the file on the workspace.")
    config_map: KeyRef | None = Field(
        default=None, description="Key of a ConfigMap that holds the lines: for small sets, 1 MiB at most."
    )
    s3: S3Object | None = Field(
        default=None, description="Object of a bucket. Only the prepare Job's sidecar has the bucket's key."
    )
    format: SourceFormat = Field(
        default="Jsonl",
        description="Jsonl: `input` and `output`. Alpaca: `instruction`, `input`, `output`. Chat: `messages`. "
        "RequestLog: `request` as OpenAI has it, and `feedback` {verdict: accepted, rejected or corrected; corrected}.",
    )

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        """The CEL rule above, for those who do not ask an API server."""
        if sum(place is not None for place in (self.path, self.config_map, self.s3)) != 1:
            raise ValueError(_ONE_PLACE)
        return self


_LOGS = "a RequestLog has the truth Feedback, and only a RequestLog has it: set truth or dataset.format"
_ONE_KIND = "name dataset or repository, and only one of them"
_NO_LABELS = "a repository has no labels: its truth is Teacher, its group file or repository, and it rejects no line"


class Source(Closed):
    """Where items come from and how far their labels are to be trusted."""

    model_config = Closed.model_config | {
        "json_schema_extra": rules(
            Rule("has(self.dataset) != has(self.repository)", _ONE_KIND),
            Rule("!has(self.dataset) || (self.dataset.format == 'RequestLog') == (self.truth == 'Feedback')", _LOGS),
            Rule(
                "!has(self.repository) || (self.truth == 'Teacher' && self.group in ['file', 'repository']"
                " && self.maxRejected == 0)",
                _NO_LABELS,
            ),
        )
    }

    name: Word = Field(description="Name of the source; reports count by it.")
    truth: Truth = Field(
        description="Who made the labels: people, a rule such as a linter, a teacher, or users who corrected an "
        "answer. Only items of Human and Rule are held out. A repository has none: what is made of it is the Teacher's."
    )
    group: str = Field(
        min_length=1,
        max_length=63,
        description="Field of a line that names its group, such as its package; groups are never split between pools. "
        "Of a repository: file, or repository for the first folder below its path.",
    )
    dataset: Dataset | None = Field(default=None, description="The file that holds the items.")
    repository: Repository | None = Field(
        default=None, description="The folder of code that the teacher is shown parts of."
    )
    max_rejected: int = Field(
        default=0,
        ge=0,
        le=1_000_000_000,
        description="How many lines may be rejected (broken, or not as the schemas say) before the Curriculum stalls.",
    )

    @model_validator(mode="after")
    def _kinds(self) -> Self:
        """The CEL rules above, for those who do not ask an API server."""
        if (self.dataset is None) == (self.repository is None):
            raise ValueError(_ONE_KIND)
        if self.dataset is not None and (self.dataset.format == "RequestLog") != (self.truth == "Feedback"):
            raise ValueError(_LOGS)
        unlabelled = (self.truth, self.max_rejected) == ("Teacher", 0) and self.group in ("file", "repository")
        if self.repository is not None and not unlabelled:
            raise ValueError(_NO_LABELS)
        return self


_ADD_UP = "exam, curriculum, validation, test and probe must add up to 1: name all that differ from the defaults"


class Ratios(Closed):
    """Share of the groups that each pool gets; the five add up to 1."""

    # CEL reads the shares as floats.
    model_config = Closed.model_config | {
        "json_schema_extra": rules(
            Rule(
                "[double(self.exam) + double(self.curriculum) + double(self.validation) + double(self.test)"
                " + double(self.probe)].all(sum, sum > 0.9999995 && sum < 1.0000005)",
                _ADD_UP,
            )
        )
    }

    exam: Share = Field(default=Decimal("0.25"), description="Seeds for exam questions.")
    curriculum: Share = Field(default=Decimal("0.35"), description="Seeds for training data, and replay.")
    validation: Share = Field(default=Decimal("0.18"), description="Measured every iteration; in no prompt.")
    test: Share = Field(default=Decimal("0.18"), description="Opened for a candidate only.")
    probe: Share = Field(default=Decimal("0.04"), description="Asked of serving pods to tell adapters apart.")

    @model_validator(mode="after")
    def _add_up(self) -> Self:
        """The CEL rule above, for those who do not ask an API server."""
        if self.exam + self.curriculum + self.validation + self.test + self.probe != 1:
            raise ValueError(_ADD_UP)
        return self


class Pools(Closed):
    """How groups are divided, for ever: by thresholds on a keyed hash of the group."""

    key: str = Field(min_length=1, max_length=63, description="Key of the hash: the same key gives the same pools.")
    ratios: Ratios = Field(default_factory=Ratios, description="Share of the groups that each pool gets.")


class Growth(Closed):
    """How the training set grows over iterations, and in which order it is learned."""

    replay: Share = Field(
        default=Decimal("0.25"),
        description="Greatest share of the training set that is taken from the curriculum pool instead of the teacher.",
    )
    order: Order = Field(
        default="Shuffled",
        description="Staged: each epoch goes through the easy, the middle and the hard third of the training set, each"
        " shuffled; hard is what the bare student finds unlikely. Shuffled: all of it at once.",
    )


class CurriculumSpec(Closed):
    """What is to be learned, from which data."""

    task: Task = Field(description="The task: instructions, schemas and label.")
    sources: list[Source] = Field(
        min_length=1,
        max_length=32,
        description="Where the items come from.",
        json_schema_extra=list_map("name"),
    )
    pools: Pools = Field(
        description="How items are divided into pools. Immutable, or held-out items could become training items.",
        json_schema_extra=rules(IMMUTABLE),
    )
    leakage: Leakage = Field(default_factory=Leakage, description="What counts as nearly the same item.")
    privacy: Privacy = Field(default_factory=Privacy, description="What must not reach the teacher.")
    growth: Growth = Field(default_factory=Growth, description="How the training set grows over iterations.")
    workspace: WorkspaceRef = Field(
        description="Where the data lies and revisions and runs are kept. Immutable.",
        json_schema_extra=rules(IMMUTABLE),
    )
    jobs: Jobs = Field(default_factory=Jobs, description="Settings of the prepare step's pod.")


class LabelItems(Open):
    """Items of one label in a pool."""

    label: str = Field(max_length=63, description="The label.")
    items: int = Field(ge=0, description="Items with it.")


class PoolItems(Open):
    """Items of one pool."""

    name: str = Field(max_length=32, description="exam, curriculum, validation, test or probe.")
    items: int = Field(ge=0, description="Items in the pool.")
    labels: list[LabelItems] = Field(
        default_factory=list[LabelItems],
        max_length=16,
        description="Items per label, in the order of the task's labels.",
        json_schema_extra=list_map("label"),
    )
    units: int = Field(default=0, ge=0, description="Functions, classes and methods of repositories: without label.")


class Rejected(Open):
    """Lines that were left out, for one reason."""

    reason: str = Field(max_length=64, description="Why the lines were left out.")
    lines: int = Field(ge=0, description="How many.")


class Attempt(Open):
    """Book-keeping of the attempts of the step at work."""

    ordinal: Ordinal = Field(default=0, description="Number of the newest Job of this step; each Job has a new one.")
    judged: Ordinal = Field(default=0, description="Number of the newest Job whose end was taken into account.")
    begun: Annotated[Ordinal, Field(ge=1)] | None = Field(
        default=None, description="The newest attempt that began: its checkpoint is used."
    )
    pod: Annotated[str, Field(max_length=63)] | None = Field(
        default=None, description="Uid of the newest pod that began: a queue may stop a Job and start it again."
    )
    failures: int = Field(default=0, ge=0, description="Attempts used up.")
    disruptions: int = Field(default=0, ge=0, description="Pods lost to evictions and node loss; these use no attempt.")
    waits: int = Field(default=0, ge=0, description="Times that the step asked to be tried later, in a row.")
    retry_at: AwareDatetime | None = Field(default=None, description="When the next attempt may start.")
    rereading: Annotated[Ordinal, Field(ge=1)] | None = Field(
        default=None, description="The attempt whose result is being read again."
    )
    reason: str | None = Field(default=None, max_length=64, description="Why the last attempt ended.")
    message: str | None = Field(default=None, max_length=512, description="What the last attempt said.")


class Revision(Open):
    """A prepared revision: what a run is pinned to."""

    name: str = Field(max_length=64, description="Short digest of task, pools and content.")
    path: str = Field(max_length=512, description="Folder in the workspace.")
    digest: Digest = Field(description="Digest of its manifest.")


class CurriculumStatus(Open):
    """What the operator knows of a Curriculum."""

    observed_generation: int = Field(default=0, ge=0, description="The generation of spec that this status is about.")
    conditions: list[Condition] = Field(
        default_factory=list[Condition],
        max_length=16,
        description="Ready, Reconciling and Stalled.",
        json_schema_extra=list_map("type"),
    )
    revision: Revision | None = Field(default=None, description="The newest prepared revision.")
    prepared_generation: int = Field(default=0, ge=0, description="The generation of spec that the revision is of.")
    items: int = Field(default=0, ge=0, description="Items in all pools.")
    pools: list[PoolItems] = Field(
        default_factory=list[PoolItems],
        max_length=8,
        description="Items per pool.",
        json_schema_extra=list_map("name"),
    )
    rejected: list[Rejected] = Field(
        default_factory=list[Rejected],
        max_length=32,
        description="Lines left out, by reason.",
        json_schema_extra=list_map("reason"),
    )
    attempt: Attempt | None = Field(default=None, description="Attempts of the prepare step at work.")


class Curriculum(Open):
    """What is to be learned, from which data: task, sources, and how items are divided into pools."""

    api_version: Literal["flywheel.dev/v1alpha1"] = "flywheel.dev/v1alpha1"
    kind: Literal["Curriculum"] = "Curriculum"
    metadata: Metadata
    spec: CurriculumSpec
    status: CurriculumStatus = CurriculumStatus()
