"""Whether a run's teacher may see what the Curriculum gives it."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from flywheel.api.conditions import Reason
from flywheel.loop.observed import RunObserved
from flywheel.loop.state import State

_CLUSTER = (".svc", ".svc.cluster.local", ".localhost")


def refusal(observed: RunObserved) -> State | None:
    """The state of a run whose teacher is external and would see what was not redacted, or None."""
    if observed.curriculum is None:
        return None
    privacy, teacher = observed.curriculum.spec.privacy, observed.run.spec.teacher
    whole = privacy.redact.secrets and privacy.redact.emails
    outside = next((url for url in (teacher.base_url, teacher.proxy) if url is not None and external(url)), None)
    if whole or privacy.external_teacher == "Unredacted" or outside is None:
        return None
    name = observed.curriculum.metadata.name
    words = (
        f"the teacher is asked by {outside}, outside the cluster, and Curriculum {name} does not redact secrets"
        " and emails: set spec.privacy.redact there, or allow it by spec.privacy.externalTeacher: Unredacted"
    )
    return State("blocked", Reason.NOT_REDACTED, words)


def external(base_url: str) -> bool:
    """Whether the host is outside the cluster: no Service's name, and no private or loopback address."""
    host = (urlsplit(base_url).hostname or "").rstrip(".").lower()
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "." in host and not host.endswith(_CLUSTER)
    return not (address.is_private or address.is_loopback)
