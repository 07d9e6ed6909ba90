"""The service's settings: the environment's variables, in capitals. README.md says what each does."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Self

from pydantic import BaseModel, Field, ValidationError
from rating import Severity


class Settings(BaseModel):
    """What may be set."""

    triton_url: str = Field(pattern="^https?://")
    log_folder: Path
    model_name: str = Field(default="severity", pattern="^[A-Za-z0-9._-]+$")
    show_from: Severity = "major"
    explore: float = Field(default=0.1, gt=0, le=1)  # with 0 nobody could tell what the hidden ones are
    explained: bool = False
    host: str = "0.0.0.0"  # noqa: S104 - a server in a pod
    port: int = 8000

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Self:
        """Raises ValueError with every wrong setting by name."""
        named = {name: environment[name.upper()] for name in cls.model_fields if name.upper() in environment}
        try:
            return cls.model_validate(named)
        except ValidationError as error:
            faults = [f"{str(entry['loc'][0]).upper()}: {entry['msg']}" for entry in error.errors()]
            raise ValueError("; ".join(faults)) from error
