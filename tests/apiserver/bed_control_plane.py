"""A real etcd, kube-apiserver and kube-controller-manager (Jobs, garbage, namespaces) on free ports of this computer.

No node: bed_node plays one. Users: `admin`; the operator's with exactly the rights of charts/flywheel-operator, its two
replicas one user with two uids, so that the audit log tells who wrote; and `namespaced` with the rights of
charts/kustomize/namespaced once a test has applied them.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from processes import die_with_parent, free_port

ROOT = Path(__file__).resolve().parents[2]
OPERATOR_USER = "system:serviceaccount:flywheel-system:flywheel-operator"
NAMESPACED = "review"  # as charts/kustomize/namespaced has it
NAMESPACED_USER = f"system:serviceaccount:{NAMESPACED}:flywheel-operator"
_ADMIN, _OPERATOR, _OTHER = "token-of-the-admin", "token-of-the-operator", "token-of-the-other-operator"
_NAMESPACED = "token-of-the-namespaced"
_START_SECONDS = 240
_CONTROLLERS = "job-controller,garbage-collector-controller,namespace-controller"
_AUDIT = """
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: None, users: [admin, "system:apiserver"], verbs: [get, list, watch]}
- {level: Metadata}
"""
_READS = ("get", "list", "watch")


def binaries() -> tuple[Path, Path]:
    """Folder of the Kubernetes programs, and etcd; says what to run where they are missing."""
    script = 'eval "$(tools/cluster/cluster env)"; printf "%s\\n%s\\n" "$FLYWHEEL_BIN" "$ETCD"'
    lines = subprocess.run(["bash", "-c", script], cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
    folder, etcd = Path(lines[0]), Path(lines[1])
    for program in (folder / "kube-apiserver", folder / "kube-controller-manager", folder / "kubectl", etcd):
        if not program.is_file():
            raise FileNotFoundError(f"{program} is missing: run `tools/cluster/cluster binaries` (make apiserver does)")
    return folder, etcd


@dataclass
class ControlPlane:
    """A running control plane below a folder of its own."""

    folder: Path
    bin: Path
    ports: dict[str, int]
    processes: dict[str, subprocess.Popen[bytes]]

    @property
    def port(self) -> int:
        """Of the API server."""
        return self.ports["api"]

    @property
    def admin(self) -> Path:
        """Kubeconfig of the admin."""
        return self.folder / "admin.kubeconfig"

    @property
    def operator(self) -> Path:
        """Kubeconfig of the operator's service account."""
        return self.folder / "operator.kubeconfig"

    @property
    def other_operator(self) -> Path:
        """The same account, for a second replica; the audit log tells them apart by uid."""
        return self.folder / "other-operator.kubeconfig"

    def kubectl(self, *arguments: str, stdin: str | None = None, check: bool = True) -> str:
        """Run kubectl as admin; stdout, or with check=False stdout and stderr."""
        env = {**os.environ, "KUBECONFIG": str(self.admin)}
        done = subprocess.run(
            [str(self.bin / "kubectl"), *arguments], env=env, input=stdin, capture_output=True, text=True, timeout=300
        )
        if check and done.returncode:
            raise AssertionError(f"kubectl {' '.join(arguments)}: {done.stderr}")
        return done.stdout if check else done.stdout + done.stderr

    @property
    def namespaced(self) -> Path:
        """Kubeconfig of the operator that has rights in one namespace."""
        return self.folder / "namespaced.kubeconfig"

    def forget_history(self) -> None:
        """Compact etcd up to now, and restart the API server: a watch from before gets 410 Gone."""
        version = json.loads(self.kubectl("get", "--raw", "/api/v1/namespaces"))["metadata"]["resourceVersion"]
        body = json.dumps({"revision": version, "physical": True}).encode()
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports['etcd']}/v3/kv/compaction", body, timeout=30):
            pass
        self.kill_api_server()
        self.restart_api_server()

    def kill_api_server(self) -> None:
        """From now on nothing answers."""
        self.processes["kube-apiserver"].kill()
        self.processes["kube-apiserver"].wait()

    def restart_api_server(self) -> None:
        """On the same port, with the same data."""
        _start_api_server(self)
        _await(self, "kube-apiserver", "get", "--raw", "/readyz")

    def writes(self, user: str = OPERATOR_USER) -> list[dict[str, str]]:
        """Every accepted or refused write of a user so far."""
        return [request for request in self.requests(user) if request["verb"] not in _READS]

    def requests(self, user: str = OPERATOR_USER) -> list[dict[str, str]]:
        """Every accepted or refused request of a user about a resource so far, from the audit log."""
        found: list[dict[str, str]] = []
        for line in (self.folder / "audit.log").read_text().splitlines():
            event = json.loads(line)
            about = event.get("objectRef") or {}
            if event["user"].get("username", "") == user and about.get("resource") not in (
                None,
                "selfsubjectaccessreviews",
            ):
                found.append(
                    {
                        "uid": event["user"].get("uid", ""),
                        "verb": event["verb"],
                        "group": about.get("apiGroup", ""),
                        "resource": about.get("resource", ""),
                        "sub": about.get("subresource", ""),
                        "namespace": about.get("namespace", ""),
                        "name": about.get("name", ""),
                        "code": str((event.get("responseStatus") or {}).get("code")),
                    }
                )
        return found


def start(folder: Path) -> Iterator[ControlPlane]:
    """Start everything, and stop it when the iterator is closed."""
    bin_, etcd = binaries()
    ports = {name: free_port() for name in ("etcd", "peer", "api", "manager")}
    plane = ControlPlane(folder, bin_, ports, {})
    try:
        _start_etcd(plane, etcd)
        _prepare_api_server(plane)
        _start_api_server(plane)
        _kubeconfig(plane, plane.admin, _ADMIN)
        _kubeconfig(plane, plane.operator, _OPERATOR)
        _kubeconfig(plane, plane.other_operator, _OTHER)
        _kubeconfig(plane, plane.namespaced, _NAMESPACED)
        _await(plane, "kube-apiserver", "get", "--raw", "/readyz")
        _run(
            plane,
            "kube-controller-manager",
            str(bin_ / "kube-controller-manager"),
            f"--kubeconfig={plane.admin}",
            f"--controllers={_CONTROLLERS}",
            f"--secure-port={ports['manager']}",
            "--bind-address=127.0.0.1",
            "--leader-elect=false",
            "--kube-api-qps=200",
            "--kube-api-burst=400",
            f"--cert-dir={folder}/manager",
        )
        yield plane
    finally:
        for process in reversed(plane.processes.values()):
            process.kill()
            process.wait()
        shutil.rmtree(folder / "etcd", ignore_errors=True)


def _start_etcd(plane: ControlPlane, etcd: Path) -> None:
    client, peer = (f"http://127.0.0.1:{plane.ports[name]}" for name in ("etcd", "peer"))
    _run(
        plane, "etcd", str(etcd), "--name", "tests", "--data-dir", str(plane.folder / "etcd"), "--unsafe-no-fsync",
        "--listen-client-urls", client, "--advertise-client-urls", client, "--listen-peer-urls", peer,
        "--initial-advertise-peer-urls", peer, "--initial-cluster", f"tests={peer}", "--logger", "zap",
    )  # fmt: skip


def _prepare_api_server(plane: ControlPlane) -> None:
    folder = plane.folder
    key = folder / "service-accounts.key"
    subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], check=True, capture_output=True)
    (folder / "tokens.csv").write_text(
        f'{_ADMIN},admin,admin,"system:masters"\n'
        f'{_OPERATOR},{OPERATOR_USER},operator,"system:serviceaccounts,system:authenticated"\n'
        f'{_OTHER},{OPERATOR_USER},other-operator,"system:serviceaccounts,system:authenticated"\n'
        f'{_NAMESPACED},{NAMESPACED_USER},namespaced,"system:serviceaccounts,system:authenticated"\n'
    )
    (folder / "audit.yaml").write_text(_AUDIT)


def _start_api_server(plane: ControlPlane) -> None:
    folder = plane.folder
    key = folder / "service-accounts.key"
    _run(
        plane,
        "kube-apiserver",
        str(plane.bin / "kube-apiserver"),
        f"--etcd-servers=http://127.0.0.1:{plane.ports['etcd']}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        f"--secure-port={plane.port}",
        f"--cert-dir={folder}/api",
        f"--token-auth-file={folder}/tokens.csv",
        "--authorization-mode=RBAC",
        "--enable-admission-plugins=OwnerReferencesPermissionEnforcement",
        "--disable-admission-plugins=ServiceAccount",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={key}",
        f"--service-account-signing-key-file={key}",
        "--service-cluster-ip-range=10.0.0.0/24",
        "--endpoint-reconciler-type=none",
        f"--audit-policy-file={folder}/audit.yaml",
        f"--audit-log-path={folder}/audit.log",
        "--audit-log-mode=blocking",
    )


def _run(plane: ControlPlane, name: str, *command: str) -> None:
    with (plane.folder / f"{name}.log").open("wb") as log:
        plane.processes[name] = subprocess.Popen(
            command,
            env={**os.environ, "GOGC": "200"},  # memory for time: a third of an API server's work is garbage collection
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=plane.folder,
            preexec_fn=die_with_parent,
        )


def _kubeconfig(plane: ControlPlane, path: Path, token: str) -> None:
    server = {"server": f"https://127.0.0.1:{plane.port}", "certificate-authority": f"{plane.folder}/api/apiserver.crt"}
    entry = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "tests", "cluster": server}],
        "users": [{"name": "user", "user": {"token": token}}],
        "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": "user"}}],
        "current-context": "tests",
    }
    path.write_text(json.dumps(entry))


def _await(plane: ControlPlane, name: str, *arguments: str) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if plane.processes[name].poll() is not None:
            break
        if plane.kubectl(*arguments, check=False).strip() == "ok":
            return
        time.sleep(0.3)
    tail = (plane.folder / f"{name}.log").read_text()[-3000:]
    raise TimeoutError(f"{name} did not become ready:\n{tail}")
