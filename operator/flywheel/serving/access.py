"""What a serving pod wants before it answers: TLS whose certificate is checked, and a credential.

Must not know where either comes from. A credential is in no repr, and what a server says goes to the log without it.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from flywheel.api.endpoint import ConfigMapKeyRef
from flywheel.api.target import ServerTls
from flywheel.serving.errors import CertificateError, CredentialError

Server = Literal["triton", "vllm", "nim"]

# Keys of the Secret, and the variables that the pod of verify has them in.
SECRET_KEYS: dict[Server, dict[str, str]] = {
    "triton": {"header": "FLYWHEEL_SERVING_HEADER", "value": "FLYWHEEL_SERVING_VALUE"},
    "vllm": {"apiKey": "FLYWHEEL_SERVING_API_KEY"},
    "nim": {"apiKey": "FLYWHEEL_SERVING_API_KEY"},
}
CA_VARIABLE = "FLYWHEEL_SERVING_CA"
# What Triton puts before the header of a restricted protocol, under gRPC only.
_TRITON_PREFIX = "triton-grpc-protocol-"
# As HTTP/2 wants them; gRPC takes a name that ends in -bin for bytes.
_HEADER = re.compile(r"[a-z0-9][a-z0-9_.-]{0,62}(?<!-bin)")
_LINE = re.compile(r"[!-~]([ -~]{0,4094}[!-~])?")


Fault = Literal["other name", "not trusted", "no TLS"]
_FAULTS: dict[Fault, str] = {
    "other name": "has a certificate for another name than {name}: correct tls.serverName of the target, or the"
    " certificate",
    "not trusted": "has a certificate that is not trusted: put its CA's into the ConfigMap tls.caBundleRef of the"
    " target",
    "no TLS": "does not speak TLS: have the server do so (Triton: --grpc-use-ssl), or leave out tls of the target",
}


@dataclass(frozen=True)
class Credential:
    """A header of every request."""

    header: str
    secret: str = field(repr=False)
    prefix: str = ""


@dataclass(frozen=True)
class Trust:
    """TLS to a server whose certificate is for this name. `authorities`: PEM of who may have signed it.

    None: whom the system trusts.
    """

    server_name: str
    authorities: str | None = None

    def refused(self, address: str, fault: Fault) -> CertificateError:
        """What is wrong with a pod's certificate, and what to do."""
        return CertificateError(f"{address} {_FAULTS[fault].format(name=self.server_name)}")

    def context(self) -> ssl.SSLContext:
        """For HTTP."""
        if self.authorities is None:
            return ssl.create_default_context()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=self.authorities)
        return context

    def roots(self) -> bytes | None:
        """For gRPC, which has a list of its own where it is given none."""
        if self.authorities is not None:
            return self.authorities.encode()
        paths = ssl.get_default_verify_paths()
        files = [Path(file) for file in (paths.cafile, f"{paths.capath}/ca-certificates.crt") if file]
        return next((file.read_bytes() for file in files if file.is_file()), None)


@dataclass(frozen=True)
class Access:
    """How pods are asked: in the clear and by anybody, unless it says otherwise."""

    trust: Trust | None = None
    credential: Credential | None = None

    @property
    def headers(self) -> dict[str, str]:
        """Of every request."""
        one = self.credential
        return {one.header: one.prefix + one.secret} if one is not None else {}

    def hidden(self, text: str) -> str:
        """What a server said, fit for the log: it may repeat what it was sent."""
        return text.replace(self.credential.secret, "[credential]") if self.credential is not None else text


OPEN = Access()


def credential(server: Server, values: Mapping[str, str], secret: str) -> Credential:
    """From a Secret's keys; `secret` is what it is called. Raises CredentialError, which says nothing of the values."""
    for key in SECRET_KEYS[server]:
        if key not in values:
            raise CredentialError(f"{secret} lacks the key {key}: add it ({' and '.join(SECRET_KEYS[server])})")
    if server == "triton" and not _HEADER.fullmatch(values["header"]):
        words = "must be the name that --grpc-restricted-protocol has before the =, in lower case and without a prefix"
        raise CredentialError(f"key header of {secret} {words}")
    key = "value" if server == "triton" else "apiKey"
    if not _LINE.fullmatch(values[key]):
        words = "must be one line of printable ASCII: is there a line break at its end?"
        raise CredentialError(f"key {key} of {secret} {words}")
    if server == "triton":
        return Credential(_TRITON_PREFIX + values["header"], values["value"])
    return Credential("authorization", values["apiKey"], "Bearer ")


def trust_of(server: Server, tls: ServerTls | None, read: Callable[[ConfigMapKeyRef], str | None]) -> Trust | None:
    """As a target's spec says; `read` brings the bundle, or None where there is none. Raises CertificateError."""
    if tls is None:
        return None
    if (ref := tls.ca_bundle_ref) is None:
        return Trust(tls.server_name)
    what, bundle = f"key {ref.key} of ConfigMap {ref.name} (target.{server}.tls.caBundleRef)", read(ref)
    if bundle is None:
        raise CertificateError(f"{what} is not there: create it with the server's CA certificates in PEM")
    return trust(tls.server_name, bundle, what)


def trust(server_name: str, bundle: str, what: str) -> Trust:
    """`what` a bundle is called. Raises CertificateError where there are no certificates in it."""
    made = Trust(server_name, bundle.encode("ascii", "ignore").decode())  # comments are in any language
    try:
        made.context()
    except (ssl.SSLError, ValueError) as error:  # ValueError: it is empty
        raise CertificateError(f"{what} holds no certificates in PEM: put those of the server's CA there") from error
    return made
