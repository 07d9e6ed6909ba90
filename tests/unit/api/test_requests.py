"""Whatever a spec may say, a step can read in its request."""

from __future__ import annotations

import json
import re

from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from flywheel.api.model import PositiveDecimal
from flywheel.api.request import TrainParameters

_SCHEMA = TypeAdapter(PositiveDecimal).json_schema()


@given(st.from_regex(re.compile(_SCHEMA["pattern"], re.ASCII), fullmatch=True))
@example("10.001000000e-1")
@example("0.00000001e-99")
def test_a_learning_rate_however_it_is_spelt(text: str) -> None:
    if len(text) > _SCHEMA["maxLength"]:
        return
    rate = TypeAdapter(PositiveDecimal).validate_python(text)
    asked = TrainParameters(model_path="/m", batch_size=1, learning_rate=rate, lora={})  # type: ignore[arg-type]
    read = TrainParameters.model_validate(json.loads(json.dumps(asked.to_json_object())))
    assert read.learning_rate == rate
