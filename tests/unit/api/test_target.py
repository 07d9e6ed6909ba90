"""What servers read is a claim or a bucket, and one of them only."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from flywheel.api.target import Repository, Target

CLAIM = {"persistentVolumeClaim": {"claimName": "models"}}
BUCKET = {"s3": {"endpoint": "http://minio:9000", "bucket": "models", "secretRef": {"name": "models-write"}}}


@pytest.mark.parametrize("place", [CLAIM, BUCKET])
@pytest.mark.parametrize(
    "target",
    [
        {"triton": {"serviceRef": {"name": "s"}, "model": "m"}},
        {"vllm": {"serviceRef": {"name": "s"}, "model": "m", "baseModel": "b"}},
        {"nim": {"serviceRef": {"name": "s"}, "model": "m", "baseModel": "b"}},
    ],
)
def test_every_server_reads_either(target: dict[str, Any], place: dict[str, Any]) -> None:
    ((kind, server),) = target.items()
    field = "repository" if kind == "triton" else "store"
    assert Target.model_validate({kind: server | {field: place}}).repository == Repository.model_validate(place)


@pytest.mark.parametrize("place", [{}, CLAIM | BUCKET])
def test_not_both_and_not_neither(place: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="either a persistentVolumeClaim or s3"):
        Repository.model_validate(place)
