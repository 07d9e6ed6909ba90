"""Step train: one LoRA adapter of the base model from the training set of an evaluate."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from statistics import fmean

from flywheel.api.conditions import Reason
from flywheel.api.item import Example
from flywheel.api.request import TrainParameters
from flywheel.api.result import StepResult, TrainFigures
from flywheel.api.task import PreparedTask
from flywheel.data.tokens import Encoded, OffsetsError, TaskTokens
from flywheel.workspace.program import Attempt, BadInputError, run
from flywheel.workspace.remote import RemoteError
from flywheel_trainer.order import batch_order, easy_to_hard, shuffled_labels, total_steps

log = logging.getLogger(__name__)

# The loss of one batch jumps; first and last are means over a few.
_FEW = 5


def train(attempt: Attempt) -> StepResult:
    """adapter/, curve.jsonl, order.jsonl, and difficulty.jsonl where the order is staged."""
    parameters = attempt.request.parameters
    if not isinstance(parameters, TrainParameters):
        raise BadInputError(f"this program does not know the step {attempt.request.step}")
    prepared = PreparedTask.model_validate(attempt.workspace.read_json(attempt.input_path("curriculum", "task.json")))
    lines = attempt.workspace.read_jsonl(attempt.input_path("data", "train.jsonl"))
    examples = [Example.model_validate(line) for line in lines]
    if not examples:
        raise BadInputError("the training set has no examples")

    # Torch and NeMo take seconds to import: bad input is refused before.
    from flywheel_student.contract import contract_of
    from flywheel_student.model import compute_type, context_of, load_tokenizer, model_folder
    from flywheel_trainer.adapter import write_adapter
    from flywheel_trainer.difficulty import difficulties
    from flywheel_trainer.finetune import Plan, finetune

    folder = model_folder(parameters.model_path)
    tokenizer = load_tokenizer(folder)
    tokens = TaskTokens(prepared, tokenizer)
    answered = _answered(examples, parameters, attempt.request.seed)
    kept, encoded = encode(tokens, answered, context_of(folder), float(parameters.label_weight))
    steps = total_steps(len(encoded), parameters.batch_size, parameters.epochs, parameters.max_steps)
    staged = parameters.order == "Staged"
    hard = difficulties(attempt, parameters, folder, [one.id for one in kept], encoded) if staged else None
    stages = easy_to_hard(hard) if hard is not None else None
    lengths = [len(one) for one in encoded]
    order = batch_order(lengths, parameters.batch_size, steps, attempt.request.seed, stages)
    batches = [{"step": step, "ids": [kept[place].id for place in places]} for step, places in enumerate(order, 1)]
    # Before its own order is written: the pod before it may have had another.
    resume = _earlier(attempt, batches, parameters.resume)
    attempt.workspace.write_jsonl(attempt.path("order.jsonl"), batches)

    outcome = finetune(
        Plan(
            model=folder,
            examples=encoded,
            order=order,
            pad_id=tokens.stop_ids[0],
            learning_rate=float(parameters.learning_rate),
            lora=parameters.lora,
            seed=attempt.request.seed,
            checkpoints=attempt.workspace.local(attempt.path("checkpoints")),
            saved=lambda: _keep(attempt),
            resume=resume,
        )
    )
    dtype = str(compute_type()).removeprefix("torch.")
    contract = contract_of(tokens, folder, dtype)
    base_model = parameters.base_model_name or parameters.model_path
    digest = write_adapter(attempt, outcome.adapter, base_model, contract)
    attempt.workspace.write_jsonl(attempt.path("curve.jsonl"), [point.to_json_object() for point in outcome.curve])
    losses = [point.loss for point in outcome.curve]
    result = attempt.seal(
        TrainFigures(
            adapter=digest,
            steps=steps,
            resumed_at=outcome.resumed_at,
            first_loss=fmean(losses[:_FEW]),
            last_loss=fmean(losses[-_FEW:]),
            over_long=len(examples) - len(kept),
            steps_per_second=outcome.steps_per_second,
        )
    )
    shutil.rmtree(attempt.workspace.local(attempt.path("checkpoints")))  # the adapter is safe, and they are large
    return result


def _keep(attempt: Attempt) -> None:
    """A bucket that is away for a while ends no training of hours: the checkpoint before is still there."""
    try:
        attempt.workspace.keep(attempt.request.output)
    except RemoteError as error:
        log.warning("the checkpoint is not in the bucket: %s; training goes on", error)


def _answered(examples: list[Example], parameters: TrainParameters, seed: int) -> list[Example]:
    """The examples, or the control whose answers are dealt anew."""
    if not parameters.shuffle_labels:
        return examples
    log.warning("labels are shuffled: this training is a control, and should learn nothing")
    sources = shuffled_labels(len(examples), seed)
    pairs = zip(examples, sources, strict=True)
    return [example.model_copy(update={"output": examples[source].output}) for example, source in pairs]


def encode(
    tokens: TaskTokens, examples: list[Example], context: int | None, label_weight: float = 1.0
) -> tuple[list[Example], list[Encoded]]:
    """Examples and their ids; those that do not fit into the model are left out and counted, never cut."""
    try:
        pairs = [(one, tokens.encode_example(one.input, one.output, label_weight)) for one in examples]
    except OffsetsError as error:
        raise BadInputError(f"spec.training.labelWeight: {error}; leave it out in a new run") from error
    fitting = [(example, ids) for example, ids in pairs if context is None or len(ids.ids) <= context]
    if len(fitting) < len(pairs):
        log.warning("%d of %d examples are longer than the model's context", len(pairs) - len(fitting), len(pairs))
    if not fitting:
        raise BadInputError(f"no training example fits into the model's {context} tokens", Reason.EXAMPLES_TOO_LONG)
    return [example for example, _ in fitting], [ids for _, ids in fitting]


def _earlier(attempt: Attempt, batches: list[dict[str, object]], last: str | None) -> Path | None:
    """Checkpoints to go on from: this attempt's, whose pod a queue had stopped, or the last's; of the same batches."""
    own = attempt.request.output
    for folder in (own, last):
        if folder is None or not attempt.workspace.exists(f"{folder}/order.jsonl"):
            continue
        found = attempt.workspace.local(f"{folder}/checkpoints")
        if list(attempt.workspace.read_jsonl(f"{folder}/order.jsonl")) != batches:
            log.warning("%s had other batches: its checkpoints are not used", folder)
        elif any(found.glob("step-*")):
            return found
        if folder == own:
            shutil.rmtree(found, ignore_errors=True)
    return None


if __name__ == "__main__":
    run(train)
