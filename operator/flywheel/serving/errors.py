"""What may go wrong with a serving pod, in our own words: a server's text stays in the log, it may hold anything."""

from __future__ import annotations

from typing import ClassVar

from flywheel.api.conditions import Reason


class ServingError(Exception):
    """A pod could not do what it was asked."""

    reason: ClassVar[Reason] = Reason.TARGET_UNAVAILABLE


class PodUnreachableError(ServingError):
    """No answer: the pod is away, starting, or the port is wrong."""


def unreachable(address: str) -> PodUnreachableError:
    """In words."""
    return PodUnreachableError(f"{address} cannot be reached: is the port right, and the pod running?")


class ModelMissingError(ServingError):
    """The pod does not have that model loaded."""


class LoadFailedError(ServingError):
    """The pod answered, and the model is not what was asked for."""


class CredentialError(ServingError):
    """The Secret is not there, not ours to read, or does not hold what it should."""

    reason = Reason.TARGET_SECRET


class KeyRefusedError(ServingError):
    """The pod wants a credential, or another one."""

    reason = Reason.TARGET_KEY_REFUSED


class CertificateError(ServingError):
    """The pod does not speak TLS, or not with a certificate that is trusted."""

    reason = Reason.TARGET_CERTIFICATE


class NotThereError(LoadFailedError):
    """What the pod reads from does not have it: of a copy of a bucket, perhaps not yet."""
