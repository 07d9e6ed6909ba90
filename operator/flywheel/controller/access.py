"""What the operator shows to serving pods: a certificate bundle from a ConfigMap, and a credential from one Secret.

The operator has no right on Secrets but what somebody grants it for a single name. Each look reads anew: nothing is
kept, so a renewed key is used a minute later.
"""

from __future__ import annotations

import base64
import binascii

from flywheel.api.adapterdeployment import AdapterDeployment
from flywheel.api.endpoint import ConfigMapKeyRef
from flywheel.controller.apply import Tools
from flywheel.controller.client import ApiError
from flywheel.controller.fields import mapping, text
from flywheel.controller.resources import CONFIG_MAP, SECRET
from flywheel.serving.access import SECRET_KEYS, Access, Credential, credential, trust_of
from flywheel.serving.errors import CredentialError


def serving_access(tools: Tools, deployment: AdapterDeployment) -> Access:
    """How the target's pods are asked. Raises CredentialError, CertificateError, ApiError."""

    def bundle(ref: ConfigMapKeyRef) -> str | None:
        found = tools.api.get(CONFIG_MAP, deployment.metadata.namespace, ref.name)
        return text(found or {}, "data", ref.key) or None

    target = deployment.spec.target
    return Access(trust_of(target.kind, target.server.tls, bundle), _credential(tools, deployment))


def _credential(tools: Tools, deployment: AdapterDeployment) -> Credential | None:
    target = deployment.spec.target
    if (ref := target.server.credentials_ref) is None:
        return None
    secret = f"Secret {ref.name} (target.{target.kind}.credentialsRef)"
    try:
        found = tools.api.get(SECRET, deployment.metadata.namespace, ref.name)
    except ApiError as error:
        if error.status != 403:
            raise
        words = (
            f"the operator may not read {secret}: create a Role that grants get on secrets with resourceNames"
            f" [{ref.name}] and bind it to the operator's ServiceAccount: docs/serving/triton.md has both"
        )
        raise CredentialError(words) from error
    if found is None:
        raise CredentialError(f"there is no {secret} in this namespace: create it, or correct the name")
    data = mapping(found, "data")
    try:
        values = {key: base64.b64decode(data[key]).decode() for key in SECRET_KEYS[target.kind] if key in data}
    except (binascii.Error, UnicodeDecodeError):
        # Without the cause, which holds the value.
        raise CredentialError(f"{secret} holds bytes that are no text: put plain text there") from None
    return credential(target.kind, values, secret)
