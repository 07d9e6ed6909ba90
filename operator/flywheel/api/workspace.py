"""Where the files of a Curriculum and of its runs are kept: a claim, or a folder of an S3 bucket."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from flywheel.api.endpoint import ConfigMapKeyRef
from flywheel.api.model import ClaimRef, Closed, LocalRef, RelativePath, Rule, rules

ONE_WORKSPACE = "a workspace is either a persistentVolumeClaim or s3: name one of them"
Endpoint = Annotated[
    str,
    Field(max_length=512, pattern=r"^https?://([A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9A-Fa-f:.]+\])(:[1-9][0-9]{0,4})?$"),
]


class Bucket(Closed):
    """A bucket of an S3 service, and who may use it."""

    endpoint: Endpoint = Field(
        description="Address of the service, such as https://s3.eu-central-1.amazonaws.com or http://minio:9000."
    )
    bucket: str = Field(
        pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", max_length=63, description="The bucket; it must be there."
    )
    region: str = Field(
        default="us-east-1",
        pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$",
        max_length=63,
        description="Region that requests are signed for.",
    )
    secret_ref: LocalRef = Field(
        description="Secret with the keys accessKeyId, secretAccessKey and hosts: the hosts, separated by commas, that"
        " this key may be used with. Without all three the Secret is not used."
    )
    ca_bundle_ref: ConfigMapKeyRef | None = Field(
        default=None, description="Certificates of authorities to trust besides the public ones."
    )


class S3(Bucket):
    """A folder of a bucket that keeps S3's promises: what was written is read and listed, If-None-Match is obeyed."""

    prefix: RelativePath | None = Field(
        default=None, description="Folder of the bucket that is the workspace; the whole bucket when absent."
    )


class S3Object(Bucket):
    """One object of a bucket, which is only read."""

    key: RelativePath = Field(description="Key of the object.")

    @property
    def place(self) -> S3:
        """The bucket that holds it."""
        return S3(**{name: getattr(self, name) for name in Bucket.model_fields})


class WorkspaceRef(Closed):
    """Where files are kept: exactly one of the two."""

    model_config = Closed.model_config | {
        "json_schema_extra": rules(Rule("has(self.persistentVolumeClaim) != has(self.s3)", ONE_WORKSPACE))
    }
    persistent_volume_claim: ClaimRef | None = Field(
        default=None, description="The claim that holds the workspace; it must be mountable by every step's pod."
    )
    s3: S3 | None = Field(default=None, description="The folder of a bucket that holds the workspace.")

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        """The CEL rule above, for those who do not ask an API server."""
        if (self.persistent_volume_claim is None) == (self.s3 is None):
            raise ValueError(ONE_WORKSPACE)
        return self
