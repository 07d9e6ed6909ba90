"""The one owner of token ids and of what each counts in the loss: trainer, student and servers turn items into ids here
and nowhere else.

Prompt and answer are tokenised once each and joined as ids, so the ids a model was trained on are the ids it is asked
with. Knows a tokenizer only by `Tokenizer`: imports neither torch nor transformers.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Literal, Protocol, cast

from jinja2 import StrictUndefined, Template
from jinja2.sandbox import SandboxedEnvironment
from jsonschema import Draft202012Validator

from flywheel.api.model import Open
from flywheel.api.task import PreparedTask, Task
from flywheel.workspace.digest import digest_bytes, digest_json

Input = Mapping[str, Any]
Output = Mapping[str, Any]
Bos = Literal["none", "prepended", "rendered"]

# Room for a tokenisation of an answer that is not the shortest one.
_SLACK = 4
# Answers that hold more than the label have no length that the task states.
_FREE_ANSWER = 256


class Tokenizer(Protocol):
    """What is used of a transformers tokenizer."""

    bos_token_id: int | None
    eos_token_id: int | None
    chat_template: str | None

    def encode(self, text: str, *, add_special_tokens: bool, split_special_tokens: bool) -> list[int]: ...

    def decode(self, token_ids: list[int], *, skip_special_tokens: bool) -> str: ...

    def __call__(
        self, text: str, *, add_special_tokens: bool, split_special_tokens: bool, return_offsets_mapping: bool
    ) -> Any: ...

    def apply_chat_template(
        self, conversation: list[dict[str, str]], *, tokenize: bool, add_generation_prompt: bool
    ) -> Any: ...


@dataclass(frozen=True)
class Encoded:
    """A training example, and how often the loss of each token counts: never in the prompt.

    In the answer and its stop token once, or as often as was asked for where a token spells the label.
    """

    ids: list[int]
    weights: list[float]

    def __len__(self) -> int:
        """Tokens."""
        return len(self.ids)


class BaseIdentity(Open):
    """Which base model: digests of its weights and configuration, and the type it computes in."""

    weights: str
    config: str
    dtype: str


class Contract(Open):
    """contract.json of an adapter: what a server must do alike to answer as measured."""

    version: int = 1
    prepared: PreparedTask  # a server has the adapter's folder and nothing else
    base: BaseIdentity
    tokenizer: str
    chat_template: str | None = None
    template: str
    rendered_prompt: str
    system_prompt: str | None = None
    bos: Bos
    stop_ids: list[int]
    do_sample: bool = False
    max_new_tokens: int
    output_schema: dict[str, Any]
    label_path: str
    labels: list[str]
    decoding: Literal["free"] = "free"


def property_order(schema: Mapping[str, Any]) -> list[str]:
    """Properties in the order a student sees them: as `required` lists them, then the others by name.

    The API server and canonical JSON keep the order of lists, not that of properties.
    """
    properties = cast("Mapping[str, Any]", schema.get("properties", {}))
    required = [name for name in cast("list[str]", schema.get("required", [])) if name in properties]
    return required + sorted(name for name in properties if name not in required)


def answer_text(task: Task, output: Output) -> str:
    """The canonical answer: compact JSON, keys in the order of the output schema."""
    return _compact({name: output[name] for name in _names(task, output)})


def label_span(task: Task, output: Output) -> tuple[int, int]:
    """Where the label stands in the canonical answer, without its quotes: first character, and first after it."""
    names, path = _names(task, output), task.label.path
    before = {name: output[name] for name in names[: names.index(path)]}
    begin = len(_compact(before | {path: ""})) - len('"}')
    return begin, begin + len(_compact(output[path])) - len('""')


def parse_answer(text: str, task: Task) -> str | None:
    """The label of an answer, or None where the text is not one JSON object that fits the output schema."""
    try:
        answer: Any = json.loads(text.strip())
    except (ValueError, RecursionError):
        return None
    if not isinstance(answer, dict):
        return None
    fields = cast("dict[str, Any]", answer)
    schema = cast(Any, Draft202012Validator(task.output_schema))
    label = fields.get(task.label.path) if schema.is_valid(fields) else None
    return label if isinstance(label, str) and label in task.label.order else None


def prompt_text(prepared: PreparedTask, question: Input) -> str:
    """A question in the task's template; raises jinja2.UndefinedError for a name that is not there."""
    task, template = prepared.task, _template(prepared.template)
    return template.render(
        instructions=task.instructions, fields=_fields(task, question), labels=list(task.label.order)
    )


class OffsetsError(ValueError):
    """The tokenizer cannot tell which tokens spell the label."""


class TaskTokens:
    """A task as one tokenizer spells it."""

    def __init__(self, prepared: PreparedTask, tokenizer: Tokenizer) -> None:
        self.task = prepared.task
        self._tokenizer = tokenizer
        self._prepared = prepared

    def prompt_text(self, question: Input) -> str:
        """A question in the task's template; raises jinja2.UndefinedError for a name that is not there."""
        return prompt_text(self._prepared, question)

    def encode_prompt(self, question: Input, shots: Sequence[tuple[Input, Output]] = ()) -> list[int]:
        """Ids that a model is asked with; `shots` are solved examples that go before the question."""
        if self._tokenizer.chat_template is None:
            solved = "".join(f"{self.prompt_text(i)}{answer_text(self.task, o)}\n\n" for i, o in shots)
            return self._bos_ids + self._encode_data(solved + self.prompt_text(question))
        return self._encode_markup(self._chat(question, shots))

    def encode_answer(self, output: Output) -> list[int]:
        """Ids of the canonical answer and the stop token."""
        return [*self._encode_data(answer_text(self.task, output)), self.stop_ids[0]]

    def encode_example(self, question: Input, output: Output, label_weight: float = 1.0) -> Encoded:
        """A training example: exactly the ids of `encode_prompt`, then those of `encode_answer`.

        Raises OffsetsError where labels weigh more and the tokenizer does not say where its tokens lie.
        """
        prompt, answer = self.encode_prompt(question), self.encode_answer(output)
        weights = [1.0] * len(answer)
        if label_weight != 1:
            for place in self._label_places(output, answer):
                weights[place] = label_weight
        return Encoded(ids=prompt + answer, weights=[0.0] * len(prompt) + weights)

    def label_answers(self) -> dict[str, list[int]]:
        """For tasks whose answer is only the label: ids of each label's answer, in the task's order."""
        return {label: self.encode_answer({self.task.label.path: label}) for label in self.task.label.order}

    def decode(self, ids: Sequence[int]) -> str:
        """Text of generated ids, up to the stop token."""
        stop = next((place for place, token in enumerate(ids) if token in self.stop_ids), len(ids))
        return self._tokenizer.decode(list(ids[:stop]), skip_special_tokens=True)

    @cached_property
    def stop_ids(self) -> list[int]:
        """Tokens that end an answer; the first is the one that training teaches."""
        eos = self._tokenizer.eos_token_id
        found = [self._end_of_turn(), eos]
        stops = list(dict.fromkeys(token for token in found if token is not None))
        if not stops:
            raise ValueError("the tokenizer has no end-of-sequence token: an answer could never end; add one")
        return stops

    @cached_property
    def max_new_tokens(self) -> int:
        """Tokens an answer may have."""
        if not self.task.label_alone:
            return _FREE_ANSWER
        return max(len(ids) for ids in self.label_answers().values()) + _SLACK

    @property
    def bos(self) -> Bos:
        """How the beginning-of-sequence token comes in, once: as the tokenizer itself does, or the chat template."""
        if self._tokenizer.chat_template is not None:
            bos = self._tokenizer.bos_token_id
            return "rendered" if bos is not None and self.encode_prompt(self._sample)[0] == bos else "none"
        return "prepended" if self._bos_ids else "none"

    def contract(self, base: BaseIdentity, tokenizer_digest: str) -> Contract:
        """What a server must do alike."""
        chat = self._tokenizer.chat_template
        return Contract(
            prepared=PreparedTask(task=self.task, template=self._prepared.template),
            base=base,
            tokenizer=tokenizer_digest,
            chat_template=None if chat is None else digest_bytes(chat.encode()),
            template=digest_bytes(self._prepared.template.encode()),
            rendered_prompt=digest_json(self.encode_prompt(self._sample)),
            bos=self.bos,
            stop_ids=self.stop_ids,
            max_new_tokens=self.max_new_tokens,
            output_schema=self.task.output_schema,
            label_path=self.task.label.path,
            labels=list(self.task.label.order),
        )

    @property
    def _sample(self) -> dict[str, str]:
        return {name: name for name in property_order(self.task.input_schema)}

    @cached_property
    def _bos_ids(self) -> list[int]:
        bos = self._tokenizer.bos_token_id
        usual = self._tokenizer.encode("a", add_special_tokens=True, split_special_tokens=False)
        return [bos] if bos is not None and usual[:1] == [bos] else []

    def _chat(self, question: Input, shots: Iterable[tuple[Input, Output]]) -> str:
        turns: list[dict[str, str]] = []
        for shot, output in shots:
            turns += [_turn("user", self.prompt_text(shot)), _turn("assistant", answer_text(self.task, output))]
        turns.append(_turn("user", self.prompt_text(question)))
        return cast(str, self._tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))

    def _end_of_turn(self) -> int | None:
        """The token that the chat template puts after an answer."""
        if self._tokenizer.chat_template is None:
            return None
        turns = [_turn("user", "q"), _turn("assistant", "a")]
        asked = self._tokenizer.apply_chat_template(turns[:1], tokenize=False, add_generation_prompt=True)
        told = self._tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=False)
        if not told.startswith(f"{asked}a"):
            return None
        ids = self._encode_markup(told[len(asked) + 1 :])
        return ids[0] if ids else None

    def _label_places(self, output: Output, answer: list[int]) -> list[int]:
        """Tokens of an answer that have at least one character of the label."""
        begin, end = label_span(self.task, output)
        try:
            found = self._tokenizer(
                answer_text(self.task, output),
                add_special_tokens=False,
                split_special_tokens=True,
                return_offsets_mapping=True,
            )
        except NotImplementedError as error:
            words = "the base model's tokenizer does not say where its tokens lie in a text: it needs a tokenizer.json"
            raise OffsetsError(words) from error
        if found["input_ids"] != answer[:-1]:
            raise OffsetsError("the base model's tokenizer spells an answer in two ways")
        return [place for place, (first, after) in enumerate(found["offset_mapping"]) if first < end and after > begin]

    def _encode_data(self, text: str) -> list[int]:
        """Data never becomes a control token, even where code holds the text of one (`</s>` is also HTML)."""
        return self._tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)

    def _encode_markup(self, text: str) -> list[int]:
        """A chat template writes its own control tokens, the beginning of the sequence included."""
        return self._tokenizer.encode(text, add_special_tokens=False, split_special_tokens=False)


@lru_cache(maxsize=8)
def _template(text: str) -> Template:
    # Prompts are plain text for a model, never markup.
    environment = SandboxedEnvironment(
        undefined=StrictUndefined, keep_trailing_newline=True, trim_blocks=True, lstrip_blocks=True, autoescape=False
    )
    return environment.from_string(text)


def _fields(task: Task, question: Input) -> list[dict[str, str]]:
    properties = cast("Mapping[str, Any]", task.input_schema.get("properties", {}))
    names = [name for name in property_order(task.input_schema) if name in question]
    return [
        {
            "name": name,
            "title": str(properties[name].get("title") or name.replace("_", " ").capitalize()),
            "value": _plain(question[name]),
        }
        for name in names
    ]


def _names(task: Task, output: Output) -> list[str]:
    """Fields of an answer, in the order of the output schema; others by name after them."""
    order = property_order(task.output_schema)
    return [name for name in order if name in output] + sorted(name for name in output if name not in order)


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else _compact(value)
