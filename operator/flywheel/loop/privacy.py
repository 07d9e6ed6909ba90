"""Whether a run's teacher, judge and compared models may see what the Curriculum gives them."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from flywheel.api.conditions import Reason
from flywheel.loop.judging import endpoints
from flywheel.loop.observed import RunObserved
from flywheel.loop.state import State

_CLUSTER = (".svc", ".svc.cluster.local", ".localhost")


def refusal(observed: RunObserved) -> State | None:
    """The state of a run that would show an external endpoint what was not redacted, or None."""
    if observed.curriculum is None:
        return None
    privacy, spec = observed.curriculum.spec.privacy, observed.run.spec
    asked = [("teacher", url) for url in (spec.teacher.base_url, spec.teacher.proxy) if url is not None]
    asked += [(f"{name} of spec.evaluation", model.base_url) for name, _, model in endpoints(spec.evaluation)]
    outside = next(((name, url) for name, url in asked if external(url)), None)
    whole = privacy.redact.secrets and privacy.redact.emails
    if whole or privacy.external_teacher == "Unredacted" or outside is None:
        return None
    name = observed.curriculum.metadata.name
    words = (
        f"the {outside[0]} is asked by {outside[1]}, outside the cluster, and Curriculum {name} does not redact secrets"
        " and emails: set spec.privacy.redact there, or allow it by spec.privacy.externalTeacher: Unredacted"
    )
    return State("blocked", Reason.NOT_REDACTED, words)


def external(base_url: str) -> bool:
    """Whether the host is outside the cluster, or not told: no Service's name, no private or loopback address."""
    try:
        host = (urlsplit(base_url).hostname or "").rstrip(".").lower()
    except ValueError:
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "." in host and not host.endswith(_CLUSTER)
    return not (address.is_private or address.is_loopback)
