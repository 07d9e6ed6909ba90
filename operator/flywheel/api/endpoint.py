"""How an OpenAI-compatible endpoint is reached and asked, besides its address and its key."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator

from flywheel.api.model import Closed, ConfigMapKey, LocalRef, rules
from flywheel.api.model import Rule as Cel

# What would be a key, or belongs to HTTP itself.
_HEADERS_NOT_HERE = (
    "^(authorization|proxy-authorization|api-key|x-api-key|x-goog-api-key|cookie|host|connection|te|upgrade"
    "|content-length|content-type|content-encoding|transfer-encoding)$"
)
_QUERY_NOT_HERE = "(?i)^(key|api[-_]?key|token|access[-_]?token|sig|subscription-key)$"
_KEYS = "keys belong in the Secret of secretRef, as apiKey; headers of HTTP itself cannot be set"


def _not_named(pattern: str) -> Cel:
    return Cel(f"!self.name.matches('{pattern}')", _KEYS)


Printable = Annotated[str, Field(min_length=1, max_length=1024, pattern=r"^[!-~]([ -~]*[!-~])?$")]


class Header(Closed):
    """A literal HTTP header; secrets do not belong here."""

    model_config = Closed.model_config | {"json_schema_extra": rules(_not_named(_HEADERS_NOT_HERE))}
    name: str = Field(
        max_length=63, pattern=r"^[a-z0-9][a-z0-9_-]*$", description="Name in lower case; HTTP does not tell case."
    )
    value: Printable = Field(description="Literal value, printable ASCII.")

    @field_validator("name")
    @classmethod
    def _no_key(cls, name: str) -> str:
        """The CEL rule above, for those who do not ask an API server."""
        return _checked(name, _HEADERS_NOT_HERE)


class QueryParameter(Closed):
    """A literal parameter of the URL, such as api-version; secrets do not belong here."""

    model_config = Closed.model_config | {"json_schema_extra": rules(_not_named(_QUERY_NOT_HERE))}
    name: str = Field(max_length=63, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", description="Name of the parameter.")
    value: Printable = Field(description="Literal value; it is escaped as URLs need it.")

    @field_validator("name")
    @classmethod
    def _no_key(cls, name: str) -> str:
        """The CEL rule above, for those who do not ask an API server."""
        return _checked(name, _QUERY_NOT_HERE)


def _checked(name: str, pattern: str) -> str:
    if re.match(pattern, name):
        raise ValueError(_KEYS)
    return name


class ConfigMapKeyRef(LocalRef):
    """A key of a ConfigMap in the same namespace that holds certificates as PEM."""

    key: ConfigMapKey = Field(default="ca.crt", description="Key of the ConfigMap.")


# A proxy that wants a name and a password would need a Secret: none is taken here.
ProxyURL = Annotated[
    str, Field(max_length=512, pattern=r"^http://([A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9A-Fa-f:.]+\])(:[1-9][0-9]{0,4})?$")
]
StructuredOutputs = Literal["JSONObject", "JSONSchema"]
