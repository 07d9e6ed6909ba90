"""A real Argo CD (repository server, application and ApplicationSet controller) on the bed's API server, and a Git
repository that it follows.

Must not know what is committed there. Its images, web server and command line are not here.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bed_control_plane import ROOT, ControlPlane, die_with_parent, free_port

Object = dict[str, Any]
NAMESPACE = "argocd"
WAIT_SECONDS = 240
APPLICATION = "applications.argoproj.io"
_PARTS = {"app.kubernetes.io/part-of": "argocd"}
# Programs that Argo CD's image has: kubectl answers for kustomize, whose library it has; no commit here is signed.
_TOOLS = {
    "kustomize": '#!/bin/sh\n[ "$1" = build ] || exit 0\nexec {kubectl} kustomize "$2"\n',
    "git-verify-wrapper.sh": "#!/bin/sh\n",
}


def built() -> tuple[Path, Path]:
    """The program of all parts, and the folder of the CRDs; raises CalledProcessError where it cannot be built."""
    subprocess.run([ROOT / "tools/cluster/cluster", "argocd"], check=True)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "flywheel/bin"
    (crds,) = cache.glob("argocd-crds-*")
    return cache / "argocd", crds


def health(objects: list[Object], config: Path) -> list[Object | None]:
    """What Argo CD with this ConfigMap makes of each object."""
    program, _ = built()
    done = subprocess.run(
        ["argocd-health", config], executable=program, input=json.dumps(objects), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@dataclass
class Repository:
    """A Git repository with one branch."""

    folder: Path

    def __post_init__(self) -> None:
        self.folder.mkdir()
        self._git("init", "--quiet", "--initial-branch=main")

    @property
    def url(self) -> str:
        """As Argo CD is told."""
        return f"file://{self.folder}"

    def commit(self, files: Mapping[str, Object | str | None]) -> str:
        """Write these files (None: delete) and commit; the revision."""
        for name, content in files.items():
            path = self.folder / name
            if content is None:
                path.unlink()
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content if isinstance(content, str) else json.dumps(content))
        self._git("add", "--all")
        self._git("-c", "user.name=team", "-c", "user.email=team@example.com", "commit", "--quiet", "--message=change")
        return self._git("rev-parse", "HEAD").strip()

    def _git(self, *arguments: str) -> str:
        command = ["git", "-C", str(self.folder), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@dataclass
class Argo:
    """It runs; Applications are looked at here."""

    plane: ControlPlane

    def follow(self, name: str, spec: Object) -> None:
        """An Application."""
        body = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "spec": spec}
        text = json.dumps({**body, "metadata": {"name": name, "namespace": NAMESPACE}})
        self.plane.kubectl("apply", "--server-side", "-f", "-", stdin=text)

    @property
    def here(self) -> Object:
        """The destination's server, as an Application names it."""
        return {"server": f"https://127.0.0.1:{self.plane.port}"}

    def look(self, application: str, hard: bool = False) -> None:
        """As a webhook of the Git server tells it; `hard`: without any cache."""
        how = f"argocd.argoproj.io/refresh={'hard' if hard else 'normal'}"
        self.plane.kubectl("-n", NAMESPACE, "annotate", "--overwrite", APPLICATION, application, how)
        self.until(f"a look at {application}", lambda: not self._is_asked(application))

    def _is_asked(self, application: str) -> bool:
        return "argocd.argoproj.io/refresh" in (self.get(application)["metadata"].get("annotations") or {})

    def has(self, kind: str, name: str) -> bool:
        """Whether there is one."""
        return bool(self.plane.kubectl("-n", NAMESPACE, "get", f"{kind}.argoproj.io", name, "--ignore-not-found"))

    def forget(self, kind: str, name: str) -> None:
        """Delete it."""
        self.plane.kubectl("-n", NAMESPACE, "delete", f"{kind}.argoproj.io", name)

    def get(self, application: str) -> Object:
        """An Application."""
        return json.loads(self.plane.kubectl("-n", NAMESPACE, "get", APPLICATION, application, "-o", "json"))

    def until_synced(self, application: str, revision: str) -> Object:
        """Wait until a commit is what the cluster has; the Application."""

        def check() -> Object | None:
            found = self.get(application)
            status = found.get("status") or {}
            sync = status.get("sync") or {}
            done = (status.get("operationState") or {}).get("phase") == "Succeeded"
            return found if done and (sync.get("status"), sync.get("revision")) == ("Synced", revision) else None

        self.look(application)
        return self.until(f"{application} Synced to {revision}", check)

    def until_health(self, application: str, **wanted: str) -> dict[str, str]:
        """Wait until resources (by name of kind) have this health, `all` for the whole; what each says."""

        def check() -> dict[str, str] | None:
            status = self.get(application).get("status") or {}
            found = {entry["kind"]: entry.get("health") or {} for entry in status.get("resources") or []}
            found["all"] = status.get("health") or {}
            told = {kind: (found.get(kind) or {}).get("status") for kind in wanted}
            return {kind: found[kind].get("message", "") for kind in wanted} if told == wanted else None

        return self.until(f"{application} with {wanted}", check)

    def until(self, what: str, check: Callable[[], Any]) -> Any:
        """Wait until the check gives something."""
        deadline = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline:
            if found := check():
                return found
            time.sleep(0.3)
        story = self.plane.kubectl("-n", NAMESPACE, "get", APPLICATION, "-o", "yaml", "--ignore-not-found")
        raise AssertionError(f"{what} did not happen in {WAIT_SECONDS} s:\n{story[-6000:]}")


@contextmanager
def running(plane: ControlPlane, folder: Path, config: Path) -> Iterator[Argo]:
    """Argo CD with this ConfigMap added to its own."""
    program, crds = built()
    _install(plane, crds, config)
    _tools(plane, folder / "tools")
    ports = {name: str(free_port()) for name in ("redis", "repo", "repo-metrics", "metrics", "sets", "probe", "hook")}
    redis, repository = f"127.0.0.1:{ports['redis']}", f"127.0.0.1:{ports['repo']}"
    server = ("--repo-server-plaintext", "--kubeconfig", str(plane.admin), "--namespace", NAMESPACE)
    commands = (
        ("argocd-redis", redis),
        (
            "argocd-repo-server", "--redis", redis, "--disable-tls", "--client-ca-path", "", "--address", "127.0.0.1",
            "--port", ports["repo"], "--metrics-address", "127.0.0.1", "--metrics-port", ports["repo-metrics"],
        ),
        (
            "argocd-application-controller", "--redis", redis, "--repo-server", repository, *server,
            "--metrics-port", ports["metrics"], "--persist-resource-health",
        ),
        (
            "argocd-applicationset-controller", "--argocd-repo-server", repository, *server,
            "--metrics-addr", f"127.0.0.1:{ports['sets']}", "--probe-addr", f"127.0.0.1:{ports['probe']}",
            "--webhook-addr", f"127.0.0.1:{ports['hook']}",
        ),
    )  # fmt: skip
    started = [_start(program, folder, plane, command) for command in commands]
    try:
        yield Argo(plane)
    finally:
        for process in reversed(started):
            process.kill()
            process.wait()


def _start(program: Path, folder: Path, plane: ControlPlane, command: tuple[str, ...]) -> subprocess.Popen[bytes]:
    env = {
        **os.environ,
        "PATH": f"{folder / 'tools'}:{os.environ['PATH']}",
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "KUBECONFIG": str(plane.admin),
        "ARGOCD_GPG_ENABLED": "false",  # else it wants a folder of keys
        "GOGC": "200",
    }
    with (folder / f"{command[0]}.log").open("wb") as log:
        return subprocess.Popen(
            command, executable=program, env=env, stdout=log, stderr=log, preexec_fn=die_with_parent
        )


def _tools(plane: ControlPlane, folder: Path) -> None:
    folder.mkdir()
    for name, text in _TOOLS.items():
        path = folder / name
        path.write_text(text.format(kubectl=plane.bin / "kubectl"))
        path.chmod(0o755)


def _install(plane: ControlPlane, crds: Path, config: Path) -> None:
    plane.kubectl("create", "namespace", NAMESPACE)
    for crd in sorted(crds.glob("*-crd.yaml")):
        plane.kubectl("apply", "--server-side", "-f", str(crd))
    _create(plane, {"kind": "ConfigMap", "metadata": {"name": "argocd-cm"}})
    secret = {"server.secretkey": "tests"}
    _create(plane, {"kind": "Secret", "metadata": {"name": "argocd-secret"}, "stringData": secret})
    _create(plane, _cluster(plane))
    # The usual condition=Established fails on a CRD that has no condition yet.
    established = '--for=jsonpath={.status.conditions[?(@.type=="Established")].status}=True'
    plane.kubectl("wait", established, "crd", "--all", "--timeout=60s")
    anything = {"sourceRepos": ["*"], "destinations": [{"server": "*", "namespace": "*"}]}
    everywhere = {"clusterResourceWhitelist": [{"group": "*", "kind": "*"}]}
    project = {"apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject", "metadata": {"name": "default"}}
    _create(plane, {**project, "spec": anything | everywhere})
    plane.kubectl("-n", NAMESPACE, "apply", "--server-side", "--field-manager=flywheel", "-f", str(config))


def _cluster(plane: ControlPlane) -> Object:
    token = json.loads(plane.admin.read_text())["users"][0]["user"]["token"]
    certificate = base64.b64encode((plane.folder / "api/apiserver.crt").read_bytes()).decode()
    config = json.dumps({"bearerToken": token, "tlsClientConfig": {"caData": certificate}})
    return {
        "kind": "Secret",
        "metadata": {"name": "cluster-here", "labels": {"argocd.argoproj.io/secret-type": "cluster"}},
        "stringData": {"name": "here", "server": f"https://127.0.0.1:{plane.port}", "config": config},
    }


def _create(plane: ControlPlane, resource: Object) -> None:
    labels = {**_PARTS, **resource["metadata"].get("labels", {})}
    body = {"apiVersion": "v1", **resource, "metadata": {**resource["metadata"], "labels": labels}}
    plane.kubectl("-n", NAMESPACE, "apply", "--server-side", "-f", "-", stdin=json.dumps(body))
