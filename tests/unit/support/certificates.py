"""Certificates made here: a CA, a server's by it, and another CA."""

from __future__ import annotations

import subprocess
from pathlib import Path


def make_certificates(folder: Path, names: str) -> Path:
    """ca.pem, other.pem (another CA), server.pem and server.key; `names` as openssl's subjectAltName has them."""
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    for name in ("ca", "other"):
        made = ["-keyout", f"{folder}/{name}.key", "-out", f"{folder}/{name}.pem", "-subj", f"/CN={name}"]
        _openssl("req", "-x509", *key, *made, "-addext", "keyUsage=critical,keyCertSign")
    made = ["-keyout", f"{folder}/server.key", "-out", f"{folder}/server.csr", "-subj", "/CN=server"]
    _openssl("req", *key[:-2], *made)
    (folder / "names").write_text(f"subjectAltName={names}\n")
    by = ["-CA", f"{folder}/ca.pem", "-CAkey", f"{folder}/ca.key", "-CAcreateserial", "-extfile", f"{folder}/names"]
    _openssl("x509", "-req", "-in", f"{folder}/server.csr", "-out", f"{folder}/server.pem", "-days", "2", *by)
    return folder


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)
