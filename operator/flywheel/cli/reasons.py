"""What each reason means and what comes next: for `flywheel explain`, and for whoever writes of it. Words only.

The condition's message has the particulars (which step, which Secret); here is what holds whenever the reason is given.
"""

from __future__ import annotations

from typing import NamedTuple

from flywheel.api.conditions import Reason


class Meaning(NamedTuple):
    """Why, and what happens next or is to be done."""

    why: str
    next: str


_GOES_ON = "it goes on by itself within minutes"
_NEW_RUN = "nothing changes an ended run: create a new one"
_MEND_SECRET = f"Mend the Secret that the message names; {_GOES_ON}."

MEANINGS: dict[Reason, Meaning] = {
    # at work
    Reason.RUNNING: Meaning("The step's pod is at work.", "The next step begins when it is done; see its log."),
    Reason.WAITING_FOR_CURRICULUM: Meaning(
        "The run is pinned to a prepared revision, and the Curriculum has none yet.",
        "It starts when the Curriculum is Ready; explain the Curriculum, too.",
    ),
    Reason.WAITING_FOR_POD: Meaning(
        "The step's Job is there; its pod has not started yet.",
        "It starts when a node has room and the images are there; if not, the reason changes and says why.",
    ),
    Reason.QUEUED: Meaning("The Job waits in a queue.", "It starts when the queue admits it: see its Workload."),
    Reason.RETRYING: Meaning(
        "The last attempt of the step failed.", "It is tried again after a pause, until its attempts are used up."
    ),
    Reason.CLEANING_UP: Meaning(
        "Something that is no longer wanted, such as an older Job, is being removed first.",
        "It goes on when it is gone.",
    ),
    Reason.PUBLISHING: Meaning(
        "The adapter is being copied to where the servers read it.", "Then it is loaded beside what serves."
    ),
    Reason.LOADING: Meaning("The servers are loading the adapter.", "Then it is asked the probes."),
    Reason.VERIFYING: Meaning(
        "The serving pods are asked questions whose answers are known.",
        "If they agree with what was measured, it is switched to; if not, it is rejected and the old one stays.",
    ),
    Reason.SWITCHING: Meaning("The stable name is being moved to the adapter.", "Then it serves."),
    Reason.CANARY: Meaning(
        "Some pods serve the candidate and are compared with the others.",
        "After rollout.canary.pause the others follow, or all go back.",
    ),
    Reason.PROCESS_DEAD: Meaning(
        "The process behind a serving model died; the same adapter is loaded anew.",
        f"{_GOES_ON.capitalize()}; if it keeps dying, see the server's log.",
    ),
    # at rest
    Reason.PREPARED: Meaning(
        "The pools of the current spec are on the workspace.",
        "Runs that name it may start; a changed spec makes a new one.",
    ),
    Reason.SUSPENDED: Meaning("spec.suspend is true: no Job runs.", "Resume it: set spec.suspend to false."),
    Reason.SERVING: Meaning(
        "A verified adapter answers under the stable name.",
        "The next candidate of a run is rolled out, unless spec.pin is set.",
    ),
    Reason.HELD_OUT_LEFT: Meaning(
        "The test pool may be opened more often than it was.",
        "Nothing to do: the next adapter that deserves it is tested.",
    ),
    Reason.LABELLED_BY_RULE: Meaning(
        "Held-out labels were made by a rule, not by people: what is measured is agreement with that rule.",
        "Have people label the held-out items before you trust the figures for more than that.",
    ),
    Reason.NO_LEAK: Meaning("Nothing that the teacher wrote was a held-out item.", "Nothing to do."),
    Reason.LEAKS_QUARANTINED: Meaning(
        "The teacher wrote held-out items, or near copies; they were left out.",
        "Read quarantine.jsonl of exam and evaluate: where there are many, the teacher may know your held-out data.",
    ),
    Reason.NO_CANDIDATE: Meaning(
        "No run whose deploymentRef names it has an adapter that passed the gate.",
        "The first candidate is rolled out; see `flywheel status` for the runs.",
    ),
    # ended well
    Reason.TARGET_REACHED: Meaning(
        "Even the lower bound of validation accuracy reached stop.accuracy.",
        f"Its candidate is what serves; {_NEW_RUN}.",
    ),
    Reason.PLATEAU: Meaning(
        "Even the upper bound of the gain over stop.plateau.patience iterations is below minDelta.",
        f"More of the same will not help; change data, teacher or training, and {_NEW_RUN}.",
    ),
    Reason.MAX_ITERATIONS: Meaning("stop.maxIterations are done.", f"If it was still improving, {_NEW_RUN} with more."),
    Reason.BUDGET_EXHAUSTED: Meaning(
        "The budget leaves nothing for another exam.", f"The best adapter stays; {_NEW_RUN} with a larger stop.budget."
    ),
    Reason.STOPPED: Meaning("spec.stop.now was set.", f"The best adapter stays; {_NEW_RUN}."),
    # blocked
    Reason.CURRICULUM_NOT_FOUND: Meaning(
        "spec.curriculumRef names a Curriculum that is not in this namespace.", f"Create it; {_GOES_ON}."
    ),
    Reason.CURRICULUM_NOT_READY: Meaning(
        "The Curriculum is stalled.",
        f"Explain the Curriculum and mend it; {_GOES_ON}.",
    ),
    Reason.NOT_REDACTED: Meaning(
        "spec.privacy of the Curriculum asks for something that the pinned revision was not prepared with.",
        "Do as the message says: nothing is sent to the teacher until then.",
    ),
    Reason.TEACHER_SECRET: Meaning(
        "The teacher's Secret is missing, lacks apiKey or hosts, or does not list the endpoint's host.",
        _MEND_SECRET,
    ),
    Reason.TEACHER_KEY_REFUSED: Meaning(
        "The teacher's endpoint refused the key.",
        f"Put a valid apiKey there; {_GOES_ON}.",
    ),
    Reason.TEACHER_UNAVAILABLE: Meaning(
        "The teacher's endpoint does not answer, or refuses requests.",
        f"Check endpoint, network policy and rate limits (spec.teacher.limits); {_GOES_ON}.",
    ),
    Reason.HUB_TOKEN: Meaning("The hub's token is missing or was refused.", _MEND_SECRET),
    Reason.HUB_UNAVAILABLE: Meaning(
        "The hub does not answer, or does not have that repository and commit.",
        f"Check spec.student.model.hub and the network; {_GOES_ON}.",
    ),
    Reason.TEACHER_CERTIFICATE: Meaning(
        "The endpoint's certificate is not signed by what is trusted.", f"Set or mend caBundleRef; {_GOES_ON}."
    ),
    Reason.IMAGE_UNAVAILABLE: Meaning(
        "An image cannot be pulled.", f"Check jobs images, registry and imagePullSecrets; {_GOES_ON}."
    ),
    Reason.VOLUME_UNAVAILABLE: Meaning(
        "A PersistentVolumeClaim is missing, not bound, or cannot be mounted.", f"Mend the claim; {_GOES_ON}."
    ),
    Reason.VOLUME_FULL: Meaning("A volume has no room.", f"Make room or a larger claim; {_GOES_ON}."),
    Reason.VOLUME_READ_ONLY: Meaning(
        "A volume cannot be written to.",
        f"Mend its permissions or access mode; {_GOES_ON}.",
    ),
    Reason.WORKSPACE_SECRET: Meaning(
        "The bucket's Secret is missing or lacks a key.", _MEND_SECRET
    ),
    Reason.WORKSPACE_KEY_REFUSED: Meaning(
        "The bucket refused the key.",
        f"Put a valid key into its Secret; {_GOES_ON}.",
    ),
    Reason.WORKSPACE_UNAVAILABLE: Meaning(
        "The bucket's endpoint does not answer.", f"Check endpoint, certificate and network policy; {_GOES_ON}."
    ),
    Reason.BUCKET_MISSING: Meaning("The bucket does not exist.", f"Create it, or mend its name; {_GOES_ON}."),
    Reason.UNSCHEDULABLE: Meaning(
        "No node fits the step's pod.", f"Add such a node, or ask for less in jobs; {_GOES_ON}."
    ),
    Reason.POD_REFUSED: Meaning(
        "No pod was made, or it could not start: quota, admission, or its configuration.",
        f"See `kubectl describe job` and `kubectl describe pod`, and mend what they say; {_GOES_ON}.",
    ),
    Reason.JOB_CONFLICT: Meaning(
        "A Job of that name belongs to somebody else.", f"Delete it, if it is nobody's; {_GOES_ON}."
    ),
    Reason.STATUS_DAMAGED: Meaning(
        "Somebody changed the status by hand, and it contradicts itself.",
        "Put back what the message names, or delete the object and create a new one.",
    ),
    Reason.LORA_TARGETS: Meaning(
        "training.lora.targets names modules that the student does not have.",
        "Name modules of this model; once iteration 1 has begun, in a new run.",
    ),
    Reason.GATE_LABELS: Meaning(
        "gate.labels has a label that the task lacks, or a margin that its items could not show.",
        f"Change gate.labels, or bring more held-out items in a new Curriculum; {_GOES_ON}.",
    ),
    Reason.NOTHING_TO_JUDGE: Meaning(
        "A judge is asked for, and the Curriculum's task has no text to judge.",
        "Set task.scoring: Judge with task.text, or leave out evaluation.",
    ),
    Reason.LABEL_ALONE: Meaning(
        "training.labelWeight weighs the label against a text that answers do not have.", "Leave labelWeight at 1."
    ),
    Reason.INCUMBENT_NOT_COMPARABLE: Meaning(
        "What serves from another run cannot be measured on this run's held-out items: nothing could be promoted.",
        "Use fresh held-out items, or set gate.serving: Shown.",
    ),
    Reason.TRY_LATER: Meaning("The step asked to be tried later.", f"{_GOES_ON.capitalize()}; see its log."),
    Reason.TARGET_UNAVAILABLE: Meaning(
        "A serving pod, or the store that it reads, cannot be used.",
        f"Do as the message says; {_GOES_ON}, and what serves goes on meanwhile.",
    ),
    Reason.AWAITING_APPROVAL: Meaning(
        "spec.approval is Manual, and status.waiting is not approved.",
        "`flywheel approve` prints what to commit, and then it is rolled out.",
    ),
    Reason.PIN_UNKNOWN: Meaning(
        "spec.pin names something that cannot be served.",
        "Pin one of status.previous or a run's candidate, or remove it.",
    ),
    Reason.TARGET_NOT_FOUND: Meaning("The Service of spec.target is not there.", f"Create it; {_GOES_ON}."),
    Reason.TARGET_SECRET: Meaning(
        "The Secret of the target's credentialsRef is missing, lacks a key, or may not be read.",
        _MEND_SECRET,
    ),
    Reason.TARGET_KEY_REFUSED: Meaning("The server refused the credential.", _MEND_SECRET),
    Reason.TARGET_CERTIFICATE: Meaning(
        "The server's certificate is not trusted.", f"Mend spec.target's tls or the certificate; {_GOES_ON}."
    ),
    Reason.ALIAS_TAKEN: Meaning(
        "The name that clients ask is taken by another model of the server.", f"Rename one of them; {_GOES_ON}."
    ),
    Reason.MODEL_TAKEN: Meaning(
        "An older AdapterDeployment has the same model on the same server.",
        f"Use another name, or delete one; {_GOES_ON}.",
    ),
    Reason.SOURCE_MISSING: Meaning("A source's file is not there.", f"Put it where the message says; {_GOES_ON}."),
    Reason.SOURCE_SECRET: Meaning(
        "The Secret of a source's bucket is missing or lacks a key.",
        _MEND_SECRET,
    ),
    Reason.SOURCE_KEY_REFUSED: Meaning("A source's bucket refused the key.", _MEND_SECRET),
    Reason.SOURCE_UNAVAILABLE: Meaning("A source's bucket does not answer.", f"Check its endpoint; {_GOES_ON}."),
    # ended badly
    Reason.BAD_INPUT: Meaning("A step found its input unusable.", f"Mend what the message names, then {_NEW_RUN}."),
    Reason.SCHEMA_MISMATCH: Meaning(
        "Items, schemas and labels do not fit each other.",
        "Mend task or data: a changed spec of the Curriculum is prepared anew.",
    ),
    Reason.SOURCE_REJECTED: Meaning(
        "Too many lines of a source are unusable.", "Mend the data, or raise maxRejected, in the Curriculum."
    ),
    Reason.POOL_EMPTY: Meaning(
        "A pool got no items.",
        "Bring more groups of items, or other pools.ratios in a new Curriculum.",
    ),
    Reason.LABEL_ABSENT: Meaning("A label has no item in a pool.", "Bring items of that label, in more groups."),
    Reason.REVISION_DAMAGED: Meaning(
        "Files of a prepared revision are not as they were written.",
        "Remove that folder of the workspace; it is prepared anew.",
    ),
    Reason.TEACHER_REPLIES: Meaning(
        "The teacher answers, and nothing of it can be used.",
        f"See the step's log and replies.json; take a model that follows instructions, and {_NEW_RUN}.",
    ),
    Reason.TEACHER_MODEL_CHANGED: Meaning(
        "The endpoint answers as another model than at the start: figures would not compare.",
        f"Pin the model at the endpoint, then {_NEW_RUN}.",
    ),
    Reason.JUDGE_ANCHORS: Meaning("The judge's anchors are missing or unusable.", f"Mend the file; {_GOES_ON}."),
    Reason.JUDGE_MODEL_CHANGED: Meaning(
        "The judge's endpoint answers as another model than before.", f"Pin the model there, then {_NEW_RUN}."
    ),
    Reason.LEDGER_DAMAGED: Meaning(
        "The ledger of teacher calls is not as it was written.", f"Restore or remove the file named, then {_NEW_RUN}."
    ),
    Reason.EXAMPLES_TOO_LONG: Meaning(
        "No training example fits into the student's context.",
        f"Use shorter items or another student, then {_NEW_RUN}.",
    ),
    Reason.ITEMS_TOO_LONG: Meaning(
        "Held-out items do not fit into the student's context.",
        f"Use shorter items or another student, then {_NEW_RUN}.",
    ),
    Reason.TRAINING_DIVERGED: Meaning(
        "The training loss is not a number.", f"Lower training.learningRate, then {_NEW_RUN}."
    ),
    Reason.ADAPTER_DAMAGED: Meaning(
        "An adapter's files differ from their digest, or some are missing.",
        "It is never served; pin another, or let a new run make one.",
    ),
    Reason.CONTRACT_DIFFERS: Meaning(
        "The server has another base model, tokenizer or template than the adapter was trained with.",
        "Serve the student's base model there, or target another server.",
    ),
    Reason.TOO_FEW_PROBES: Meaning(
        "Base and candidate disagree on too few probes to tell them apart.",
        "Lower verification.probes, or bring more items for the probe pool.",
    ),
    Reason.SPEC_INVALID: Meaning(
        "The spec does not fit this operator's version, or the API server refused a Job made from it.",
        f"`flywheel lint` finds most of it; mend the field that the message names; {_GOES_ON}.",
    ),
    Reason.ATTEMPTS_EXHAUSTED: Meaning(
        "The step failed as often as jobs.steps[].attempts allows.", f"See its log, mend the cause, then {_NEW_RUN}."
    ),
    Reason.OUT_OF_MEMORY: Meaning(
        "The step ran out of memory.",
        "Raise the memory limit of the step in jobs.steps[]; if the run has ended, in a new one.",
    ),
    Reason.DEADLINE_EXCEEDED: Meaning(
        "The step ran past its timeout.", "Raise jobs.steps[].timeout; if the run has ended, in a new one."
    ),
    Reason.STEP_FAILED: Meaning(
        "The step failed, or the operator could not handle the object.",
        "See the step's log, then the operator's.",
    ),
    Reason.DISRUPTED: Meaning(
        "The step's pod was evicted, deleted or lost with its node.",
        "The next attempt begins when it is gone; none is used up by it, but there is a limit.",
    ),
    Reason.VERIFICATION_FAILED: Meaning(
        "The serving pods did not answer as measured: the candidate was rejected.",
        "What served stays. Compare the server's base model and decoding with the run's; a newer candidate is tried.",
    ),
    Reason.HELD_OUT_SPENT: Meaning(
        "The test pool was opened as often as it may be: another adapter could not be proven.",
        "Bring fresh held-out items: a new Curriculum with another pools.key and new data.",
    ),
    # information
    Reason.TOO_FEW_ITEMS: Meaning(
        "The held-out pools are too small to show what is asked.", "Bring more held-out items, or ask for less in stop."
    ),
    Reason.GROUPS_UNKNOWN: Meaning(
        "The card of what serves does not say which groups it was trained on.", "Its figures here may flatter it."
    ),
    Reason.PLATEAU_UNCLEAR: Meaning(
        "The newest gain may be nothing, and may be minDelta.", "More held-out items would tell; the run goes on."
    ),
    Reason.ENOUGH_ITEMS: Meaning("The held-out pools can show what is asked.", "Nothing to do."),
    Reason.PROMPTING_AS_GOOD: Meaning(
        "The best adapter is better than the bare student, and not than the best way of prompting it.",
        "Prompting may be enough: compare `status.baseline` before you pay for more iterations.",
    ),
    Reason.ADAPTER_BETTER: Meaning("The best adapter is proven better than prompting.", "Nothing to do."),
    Reason.NO_GAIN_PROVEN: Meaning(
        "No adapter is proven better than the bare student yet.",
        "Nothing to do; the run goes on.",
    ),
    Reason.JUDGE_OF_TEACHERS_FAMILY: Meaning(
        "Judge and teacher are of one family, and may prefer their own words.", "Take a judge of another family."
    ),
    Reason.JUDGE_OF_OTHER_FAMILY: Meaning("Judge and teacher share no family name.", "Nothing to do."),
    Reason.REFUSALS_MANY: Meaning(
        "The teacher refuses many requests.", "Read the refused prompts (`flywheel preview`), or take another teacher."
    ),
    Reason.REFUSALS_FEW: Meaning("The teacher refuses no more than is borne.", "Nothing to do."),
    Reason.LABELS_WRONG: Meaning(
        "The teacher is proven to label trusted items wrongly: it teaches mistakes.",
        "Make task.instructions clearer, or take another teacher.",
    ),
    Reason.LABELS_UNCLEAR: Meaning(
        "The teacher may label too many trusted items wrongly.",
        "More iterations, or more items of the exam pool, will tell.",
    ),
    Reason.LABELS_RIGHT: Meaning("The teacher labels trusted items well enough.", "Nothing to do."),
    Reason.ITEMS_MISSING: Meaning(
        "The teacher wrote fewer usable items than asked for.", "See status.shortages for labels and reasons."
    ),
    Reason.QUOTAS_MET: Meaning("The teacher wrote what was asked for.", "Nothing to do."),
    # events
    Reason.STEP_STARTED: Meaning("A step began.", "Its end is told by the next event."),
    Reason.STEP_COMPLETED: Meaning("A step is done.", "The next one begins."),
    Reason.NEW_BEST: Meaning(
        "An adapter is the best so far on validation.", "It sits the next exam; if proven better, it is tested."
    ),
    Reason.CANDIDATE: Meaning(
        "An adapter passed the gate, or its rollout began.",
        "The AdapterDeployment rolls it out.",
    ),
    Reason.REJECTED: Meaning(
        "An adapter did not pass the gate, or its rollout's verification.", "It is not tried again; a better one is."
    ),
    Reason.ABORTED: Meaning("A rollout was given up.", "What served before serves on; the message says why."),
}  # fmt: skip


def meaning(reason: str) -> Meaning:
    """Of a reason; of one that a newer operator gave, that it is unknown here."""
    try:
        return MEANINGS[Reason(reason)]
    except ValueError:
        words = f"This version of flywheel does not know the reason {reason}."
        return Meaning(words, "The condition's message says what to do; a newer flywheel knows more.")
