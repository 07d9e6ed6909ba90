"""Conditions as kubectl and kstatus read them, and the reasons we give. Messages say what to do."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import Field

from flywheel.api.model import Open

ConditionType = Literal[
    "Ready", "Reconciling", "Stalled", "Completed", "Failed", "HeldOutExhausted", "Underpowered", "PromptingSuffices",
    "TeacherRefusals", "LeakageChecked", "HeldOutNotHuman", "TeacherUnreliable", "QuotasShort",
    "PreferenceLeakageRisk", "IncumbentContaminated",
]  # fmt: skip
READY, RECONCILING, STALLED = "Ready", "Reconciling", "Stalled"
COMPLETED, FAILED = "Completed", "Failed"
HELD_OUT_EXHAUSTED, UNDERPOWERED, PROMPTING_SUFFICES = "HeldOutExhausted", "Underpowered", "PromptingSuffices"
TEACHER_REFUSALS, TEACHER_UNRELIABLE, QUOTAS_SHORT = "TeacherRefusals", "TeacherUnreliable", "QuotasShort"
PREFERENCE_LEAKAGE_RISK, INCUMBENT_CONTAMINATED = "PreferenceLeakageRisk", "IncumbentContaminated"
LEAKAGE_CHECKED, HELD_OUT_NOT_HUMAN = "LeakageChecked", "HeldOutNotHuman"


class Reason(StrEnum):
    """Every reason a condition or event may carry."""

    # at work
    RUNNING = "Running"
    WAITING_FOR_CURRICULUM = "WaitingForCurriculum"
    WAITING_FOR_POD = "WaitingForPod"
    QUEUED = "Queued"
    RETRYING = "Retrying"
    CLEANING_UP = "CleaningUp"
    PUBLISHING = "Publishing"
    LOADING = "Loading"
    VERIFYING = "Verifying"
    SWITCHING = "Switching"
    CANARY = "Canary"
    PROCESS_DEAD = "ProcessDead"
    # at rest
    PREPARED = "Prepared"
    SUSPENDED = "Suspended"
    SERVING = "Serving"
    HELD_OUT_LEFT = "HeldOutLeft"
    LABELLED_BY_RULE = "LabelledByRule"
    NO_LEAK = "NoLeak"
    LEAKS_QUARANTINED = "LeaksQuarantined"
    NO_CANDIDATE = "NoCandidate"
    # ended well
    TARGET_REACHED = "TargetReached"
    PLATEAU = "Plateau"
    MAX_ITERATIONS = "MaxIterations"
    BUDGET_EXHAUSTED = "BudgetExhausted"
    STOPPED = "Stopped"
    # blocked: goes on when the cause is mended
    CURRICULUM_NOT_FOUND = "CurriculumNotFound"
    CURRICULUM_NOT_READY = "CurriculumNotReady"
    NOT_REDACTED = "NotRedacted"
    TEACHER_SECRET = "TeacherSecret"  # noqa: S105 - a reason, not a secret
    TEACHER_KEY_REFUSED = "TeacherKeyRefused"
    TEACHER_UNAVAILABLE = "TeacherUnavailable"
    HUB_TOKEN = "HubToken"  # noqa: S105 - a reason, not a secret
    HUB_UNAVAILABLE = "HubUnavailable"
    TEACHER_CERTIFICATE = "TeacherCertificate"
    IMAGE_UNAVAILABLE = "ImageUnavailable"
    VOLUME_UNAVAILABLE = "VolumeUnavailable"
    VOLUME_FULL = "VolumeFull"
    VOLUME_READ_ONLY = "VolumeReadOnly"
    WORKSPACE_SECRET = "WorkspaceSecret"  # noqa: S105 - a reason, not a secret
    WORKSPACE_KEY_REFUSED = "WorkspaceKeyRefused"
    WORKSPACE_UNAVAILABLE = "WorkspaceUnavailable"
    BUCKET_MISSING = "BucketMissing"
    UNSCHEDULABLE = "Unschedulable"
    POD_REFUSED = "PodRefused"
    JOB_CONFLICT = "JobConflict"
    STATUS_DAMAGED = "StatusDamaged"
    LORA_TARGETS = "LoraTargets"
    GATE_LABELS = "GateLabels"
    NOTHING_TO_JUDGE = "NothingToJudge"
    LABEL_ALONE = "LabelAlone"
    INCUMBENT_NOT_COMPARABLE = "IncumbentNotComparable"
    TRY_LATER = "TryLater"
    TARGET_UNAVAILABLE = "TargetUnavailable"
    AWAITING_APPROVAL = "AwaitingApproval"
    PIN_UNKNOWN = "PinUnknown"
    TARGET_NOT_FOUND = "TargetNotFound"
    TARGET_SECRET = "TargetSecret"  # noqa: S105 - a reason, not a secret
    TARGET_KEY_REFUSED = "TargetKeyRefused"
    TARGET_CERTIFICATE = "TargetCertificate"
    ALIAS_TAKEN = "AliasTaken"
    MODEL_TAKEN = "ModelTaken"
    SOURCE_MISSING = "SourceMissing"
    SOURCE_SECRET = "SourceSecret"  # noqa: S105 - a reason, not a secret
    SOURCE_KEY_REFUSED = "SourceKeyRefused"
    SOURCE_UNAVAILABLE = "SourceUnavailable"
    # ended badly
    BAD_INPUT = "BadInput"
    SCHEMA_MISMATCH = "SchemaMismatch"
    SOURCE_REJECTED = "SourceRejected"
    POOL_EMPTY = "PoolEmpty"
    LABEL_ABSENT = "LabelAbsent"
    REVISION_DAMAGED = "RevisionDamaged"
    TEACHER_REPLIES = "TeacherReplies"
    TEACHER_MODEL_CHANGED = "TeacherModelChanged"
    JUDGE_ANCHORS = "JudgeAnchors"
    JUDGE_MODEL_CHANGED = "JudgeModelChanged"
    LEDGER_DAMAGED = "LedgerDamaged"
    EXAMPLES_TOO_LONG = "ExamplesTooLong"
    ITEMS_TOO_LONG = "ItemsTooLong"
    TRAINING_DIVERGED = "TrainingDiverged"
    ADAPTER_DAMAGED = "AdapterDamaged"
    CONTRACT_DIFFERS = "ContractDiffers"
    TOO_FEW_PROBES = "TooFewProbes"
    SPEC_INVALID = "SpecInvalid"
    ATTEMPTS_EXHAUSTED = "AttemptsExhausted"
    OUT_OF_MEMORY = "OutOfMemory"
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    STEP_FAILED = "StepFailed"
    DISRUPTED = "Disrupted"
    VERIFICATION_FAILED = "VerificationFailed"
    HELD_OUT_SPENT = "HeldOutSpent"
    # information, whatever the state
    TOO_FEW_ITEMS = "TooFewItems"
    GROUPS_UNKNOWN = "GroupsUnknown"
    PLATEAU_UNCLEAR = "PlateauUnclear"
    ENOUGH_ITEMS = "EnoughItems"
    PROMPTING_AS_GOOD = "PromptingAsGood"
    ADAPTER_BETTER = "AdapterBetter"
    NO_GAIN_PROVEN = "NoGainProven"
    JUDGE_OF_TEACHERS_FAMILY = "JudgeOfTeachersFamily"
    JUDGE_OF_OTHER_FAMILY = "JudgeOfOtherFamily"
    REFUSALS_MANY = "RefusalsMany"
    REFUSALS_FEW = "RefusalsFew"
    LABELS_WRONG = "LabelsWrong"
    LABELS_UNCLEAR = "LabelsUnclear"
    LABELS_RIGHT = "LabelsRight"
    ITEMS_MISSING = "ItemsMissing"
    QUOTAS_MET = "QuotasMet"
    # progress, for events
    STEP_STARTED = "StepStarted"
    STEP_COMPLETED = "StepCompleted"
    NEW_BEST = "NewBest"
    CANDIDATE = "Candidate"
    REJECTED = "CandidateRejected"
    ABORTED = "RolloutAborted"


class Condition(Open):
    """metav1.Condition."""

    type: str = Field(max_length=64, description="Kind of condition.")
    status: Literal["True", "False", "Unknown"] = Field(description="True, False or Unknown.")
    reason: str = Field(max_length=128, description="One word for the cause, stable for scripts.")
    message: str = Field(max_length=1024, description="What happened and what to do, for people.")
    observed_generation: int = Field(default=0, ge=0, description="The generation of spec that this is about.")
    last_transition_time: datetime = Field(description="When status last changed.")


class Event(Open):
    """A Kubernetes event to be written once the status write succeeded."""

    type: Literal["Normal", "Warning"] = "Normal"
    reason: Reason
    message: str
