"""Token ids and loss mask, with tokenizers made here: one for plain text, one with a chat template."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import TemplateError, UndefinedError
from tokenizers import Tokenizer

from flywheel.api.task import PreparedTask, Task
from flywheel.data.tokens import (
    BaseIdentity,
    Contract,
    OffsetsError,
    TaskTokens,
    answer_text,
    label_span,
    parse_answer,
    property_order,
)

TEMPLATE = (Path(__file__).parents[3] / "prompts" / "task.j2").read_text()
LABELS = ["critical", "major", "minor", "trivial"]
TASK = Task.model_validate(
    {
        "instructions": "Rate the severity.",
        "inputSchema": {
            "type": "object",
            "properties": {"review": {"type": "string"}, "code": {"type": "string"}},
            "required": ["code", "review"],
        },
        "outputSchema": {
            "type": "object",
            "properties": {"issue_type": {"enum": LABELS}},
            "required": ["issue_type"],
            "additionalProperties": False,
        },
        "label": {"path": "issue_type", "order": LABELS},
    }
)
QUESTIONS = st.fixed_dictionaries({"code": st.text(max_size=40), "review": st.text(max_size=40)})
OUTPUTS = st.sampled_from([{"issue_type": label} for label in LABELS])
BOS, EOS = 256, 257
MARKUP = {"<s>": BOS, "</s>": EOS}


class Bytes:
    """A tokenizer with a token per byte, and two control tokens that have a text, as real ones do."""

    eos_token_id: int | None = EOS

    def __init__(self, bos: bool = False, chat: bool = False) -> None:
        self.bos_token_id = BOS if bos or chat else None
        self.adds_bos = bos
        self.chat_template = "chat" if chat else None

    def encode(self, text: str, *, add_special_tokens: bool, split_special_tokens: bool) -> list[int]:
        ids = [BOS] if add_special_tokens and self.adds_bos else []
        while text:
            found = next((mark for mark in MARKUP if text.startswith(mark)), None)
            if found and not split_special_tokens:
                ids.append(MARKUP[found])
                text = text.removeprefix(found)
            else:
                ids += list(text[0].encode("utf-8", "surrogatepass"))
                text = text[1:]
        return ids

    def __call__(
        self, text: str, *, add_special_tokens: bool, split_special_tokens: bool, return_offsets_mapping: bool
    ) -> dict[str, list[Any]]:
        assert return_offsets_mapping
        ids = self.encode(text, add_special_tokens=add_special_tokens, split_special_tokens=split_special_tokens)
        places = [place for place, letter in enumerate(text) for _ in letter.encode("utf-8", "surrogatepass")]
        return {"input_ids": ids, "offset_mapping": [(place, place + 1) for place in places]}

    def decode(self, token_ids: list[int], *, skip_special_tokens: bool) -> str:
        assert skip_special_tokens
        return bytes(token for token in token_ids if token < 256).decode("utf-8", "replace")

    def apply_chat_template(
        self, conversation: list[dict[str, str]], *, tokenize: bool, add_generation_prompt: bool
    ) -> str:
        assert not tokenize
        turns = "".join(f"[{turn['role']}]{turn['content']}</s>" for turn in conversation)
        return "<s>" + turns + ("[assistant]" if add_generation_prompt else "")


class Real:
    """The tokenizers library as transformers shows it."""

    chat_template = None
    bos_token_id = None
    eos_token_id = 0

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    def encode(self, text: str, *, add_special_tokens: bool, split_special_tokens: bool) -> list[int]:
        return self._tokenizer.encode(text, add_special_tokens=add_special_tokens).ids

    def __call__(self, text: str, *, add_special_tokens: bool, **_: bool) -> dict[str, list[Any]]:
        found = self._tokenizer.encode(text, add_special_tokens=add_special_tokens)
        return {"input_ids": found.ids, "offset_mapping": found.offsets}

    def decode(self, token_ids: list[int], *, skip_special_tokens: bool) -> str:
        return self._tokenizer.decode(token_ids, skip_special_tokens=skip_special_tokens)

    def apply_chat_template(self, conversation: Any, **_: bool) -> Any:
        raise NotImplementedError


TOKENIZERS = st.builds(Bytes, bos=st.booleans(), chat=st.booleans())


def tokens(tokenizer: Bytes | None = None, template: str = TEMPLATE) -> TaskTokens:
    return TaskTokens(PreparedTask(task=TASK, template=template), tokenizer or Bytes())


@given(TOKENIZERS, QUESTIONS, OUTPUTS)
def test_the_training_prefix_is_what_the_student_is_asked(tokenizer: Bytes, question, output) -> None:
    task = tokens(tokenizer)
    example, prompt = task.encode_example(question, output), task.encode_prompt(question)
    assert example.ids[: len(prompt)] == prompt
    assert example.weights == [0] * len(prompt) + [1] * (len(example.ids) - len(prompt))


@given(TOKENIZERS, QUESTIONS, OUTPUTS)
def test_loss_is_on_the_answer_and_one_stop_token(tokenizer: Bytes, question, output) -> None:
    task = tokens(tokenizer)
    example = task.encode_example(question, output)
    taught = [token for token, counts in zip(example.ids, example.weights, strict=True) if counts]
    assert taught[-1] == EOS and EOS not in taught[:-1]
    assert task.decode(taught) == answer_text(TASK, output)
    assert parse_answer(task.decode([*taught, 65, 66]), TASK) == output["issue_type"]


EXPLAINED = TASK.model_copy(
    update={
        "output_schema": {
            "type": "object",
            "properties": {"issue_type": {"enum": [*LABELS, 'größer "als"']}, "why": {}, "more": {}},
            "required": ["why", "issue_type"],
        }
    }
)
ANSWERS = st.fixed_dictionaries(
    {"issue_type": st.sampled_from([*LABELS, 'größer "als"']), "why": st.text(max_size=20)},
    optional={"more": st.text(max_size=5), "a": st.integers()},
)


@given(ANSWERS)
def test_the_label_is_found_in_the_answer(output: dict[str, Any]) -> None:
    begin, end = label_span(EXPLAINED, output)
    text = answer_text(EXPLAINED, output)
    assert json.loads(text[begin - 1 : end + 1]) == output["issue_type"]
    assert json.loads(text[:begin] + "there" + text[end:]) == output | {"issue_type": "there"}


@given(TOKENIZERS, QUESTIONS, ANSWERS, st.floats(1.5, 100))
def test_the_tokens_of_the_label_weigh_more(tokenizer: Bytes, question, output, weight: float) -> None:
    task = TaskTokens(PreparedTask(task=EXPLAINED, template=TEMPLATE), tokenizer)
    plain, weighted = task.encode_example(question, output), task.encode_example(question, output, weight)
    assert weighted.ids == plain.ids and task.encode_example(question, output, 1.0) == plain
    heavy = [token for token, counts in zip(weighted.ids, weighted.weights, strict=True) if counts == weight]
    assert json.loads('"' + task.decode(heavy) + '"') == output["issue_type"]
    assert [min(counts, 1) for counts in weighted.weights] == plain.weights


def test_the_students_own_tokens_of_a_label() -> None:
    """A real tokenizer joins letters, and may join them with what stands beside them."""
    student = Path(__file__).parents[3] / "examples" / "code-review" / "student" / "tokenizer.json"
    tokenizer = Real(Tokenizer.from_file(str(student)))
    task = TaskTokens(PreparedTask(task=EXPLAINED, template=TEMPLATE), tokenizer)
    output = {"issue_type": "critical", "why": "critical, it crashes"}
    example = task.encode_example({"code": "x", "review": "critical"}, output, 5.0)
    heavy = [place for place, counts in enumerate(example.weights) if counts == 5.0]
    assert heavy == list(range(heavy[0], heavy[-1] + 1))
    around = [tokenizer.decode(example.ids[at : heavy[-1] + 1], skip_special_tokens=True) for at in heavy[:2]]
    assert around[0].strip('":,') == "critical" and "critical" not in around[1]


def test_a_tokenizer_without_offsets_is_refused_where_labels_weigh_more() -> None:
    class Slow(Bytes):
        def __call__(self, text: str, **_: bool) -> dict[str, list[Any]]:
            raise NotImplementedError("return_offset_mapping is not available when using Python tokenizers")

    task = TaskTokens(PreparedTask(task=EXPLAINED, template=TEMPLATE), Slow())
    output = {"issue_type": "minor", "why": "so"}
    assert task.encode_example({"code": "x"}, output).ids
    with pytest.raises(OffsetsError, match="does not say where its tokens lie"):
        task.encode_example({"code": "x"}, output, 2.0)


@given(TOKENIZERS, QUESTIONS)
def test_the_sequence_begins_once(tokenizer: Bytes, question) -> None:
    task = tokens(tokenizer)
    assert (task.encode_prompt(question)[0] == BOS) == (task.bos != "none")
    if tokenizer.chat_template is None:
        assert task.encode_prompt(question).count(BOS) == (1 if tokenizer.adds_bos else 0)


def test_code_that_spells_a_control_token_stays_data() -> None:
    ids = tokens(Bytes(bos=True)).encode_prompt({"code": "<p></s><s></p>", "review": ""})
    assert ids.count(BOS) == 1 and EOS not in ids


def test_the_prompt_shows_each_property_in_the_order_of_required() -> None:
    text = tokens().prompt_text({"review": "why\nso", "code": "a = 1"})
    assert text == "### Code:\na = 1\n### Review:\nwhy\nso\n### Answer:\n"


def test_other_properties_follow_by_name_and_only_where_given() -> None:
    schema = {"properties": {"z": {}, "b": {}, "a": {}}, "required": ["z"]}
    assert property_order(schema) == ["z", "a", "b"]


def test_shots_are_solved_with_the_same_words() -> None:
    shot = ({"code": "x", "review": "y"}, {"issue_type": "minor"})
    asked = Bytes().decode(tokens().encode_prompt({"code": "a", "review": "b"}, [shot]), skip_special_tokens=True)
    head = '### Code:\nx\n### Review:\ny\n### Answer:\n{"issue_type":"minor"}\n\n'
    assert asked == head + tokens().prompt_text({"code": "a", "review": "b"})


def test_a_template_that_names_what_is_not_there_is_refused() -> None:
    with pytest.raises(UndefinedError):
        tokens(template="{{ nothing }}").prompt_text({"code": "", "review": ""})


@given(st.text(max_size=60) | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps))
def test_text_that_is_no_answer_has_no_label(text: str) -> None:
    assert parse_answer(text, TASK) is None


@pytest.mark.parametrize(
    "text",
    [
        '{"issue_type":"huge"}',
        '{"issue_type":"minor","more":1}',
        '["minor"]',
        '{"issue_type":"minor"} and so',
        "[" * 9999,
    ],
)
def test_answers_that_nearly_fit_are_unparsable(text: str) -> None:
    assert parse_answer(text, TASK) is None


def test_every_label_fits_into_the_longest_answer() -> None:
    task = tokens()
    assert max(len(ids) for ids in task.label_answers().values()) <= task.max_new_tokens
    assert list(task.label_answers()) == LABELS


def test_a_tokenizer_without_an_end_is_refused() -> None:
    tokenizer = Bytes()
    tokenizer.eos_token_id = None
    with pytest.raises(ValueError, match="end-of-sequence"):
        _ = tokens(tokenizer).stop_ids


def test_the_contract_differs_where_a_server_would_answer_differently() -> None:
    base = BaseIdentity(weights="sha256:0", config="sha256:1", dtype="float32")

    def contract(tokenizer: Bytes, template: str = TEMPLATE) -> Contract:
        return tokens(tokenizer, template).contract(base, "sha256:2")

    same = contract(Bytes())
    assert Contract.model_validate(same.to_json_object()) == same
    assert contract(Bytes()) == same
    assert len({c.model_dump_json() for c in (same, contract(Bytes(bos=True)), contract(Bytes(chat=True)))}) == 3
    assert contract(Bytes(), TEMPLATE + " ") != same


@pytest.mark.parametrize(
    "attack",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ instructions.__class__.__init__.__globals__ }}",
        "{{ cycler.__init__.__globals__.os.environ }}",
        "{{ '{0.__class__}'.format(fields) }}",
        "{% include 'task.j2' %}",
        "{{ range(10 ** 9) | list }}",
    ],
)
def test_the_students_template_cannot_leave_its_sandbox(attack: str) -> None:
    """It travels with the adapter, and a server renders it."""
    with pytest.raises((TemplateError, TypeError, OverflowError)):
        TaskTokens(PreparedTask(task=TASK, template=attack), Bytes()).prompt_text({"code": "x", "review": "y"})
