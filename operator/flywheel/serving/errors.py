"""What may go wrong with a serving pod, in our own words: a server's text stays in the log, it may hold anything."""

from __future__ import annotations


class ServingError(Exception):
    """A pod could not do what it was asked."""


class PodUnreachableError(ServingError):
    """No answer: the pod is away, starting, or the port is wrong."""


class ModelMissingError(ServingError):
    """The pod does not have that model loaded."""


class LoadFailedError(ServingError):
    """The pod answered, and the model is not what was asked for."""
