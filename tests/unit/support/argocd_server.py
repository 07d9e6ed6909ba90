"""A real Argo CD (repository server, application and ApplicationSet controller) as processes beside a cluster, and a
Git repository that it follows.

Must not know what is committed there. Its images, web server and command line are not here.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from built_programs import programs
from processes import die_with_parent, free_port

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


def health(objects: list[Object], config: Path) -> list[Object | None]:
    """What Argo CD with this ConfigMap makes of each object."""
    done = subprocess.run(
        ["argocd-health", config],
        executable=programs("argocd") / "argocd",
        input=json.dumps(objects),
        capture_output=True,
        text=True,
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


@dataclass(frozen=True)
class Cluster:
    """One whose admin's kubeconfig this is."""

    kubeconfig: Path

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Its standard output; raises with its standard error when it fails."""
        command = [str(programs("binaries") / "kubectl"), "--kubeconfig", str(self.kubeconfig), *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
        if done.returncode:
            raise AssertionError(f"kubectl {' '.join(arguments)}: {done.stderr}")
        return done.stdout

    @functools.cached_property
    def config(self) -> Object:
        """The kubeconfig with every file's content in place of its name: `cluster` and `user`."""
        found = json.loads(self.kubectl("config", "view", "--raw", "--flatten", "--minify", "--output=json"))
        return {"cluster": found["clusters"][0]["cluster"], "user": found["users"][0]["user"]}


@dataclass
class Argo:
    """It runs; Applications are looked at here."""

    cluster: Cluster

    def follow(self, name: str, spec: Object) -> None:
        """An Application."""
        body = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "spec": spec}
        text = json.dumps({**body, "metadata": {"name": name, "namespace": NAMESPACE}})
        self.cluster.kubectl("apply", "--server-side", "-f", "-", stdin=text)

    @property
    def here(self) -> Object:
        """The destination's server, as an Application names it."""
        return {"server": self.cluster.config["cluster"]["server"]}

    def look(self, application: str, hard: bool = False) -> None:
        """As a webhook of the Git server tells it; `hard`: without any cache."""
        how = f"argocd.argoproj.io/refresh={'hard' if hard else 'normal'}"
        self.cluster.kubectl("-n", NAMESPACE, "annotate", "--overwrite", APPLICATION, application, how)
        self.until(f"a look at {application}", lambda: not self._is_asked(application))

    def _is_asked(self, application: str) -> bool:
        return "argocd.argoproj.io/refresh" in (self.get(application)["metadata"].get("annotations") or {})

    def has(self, kind: str, name: str) -> bool:
        """Whether there is one."""
        return bool(self.cluster.kubectl("-n", NAMESPACE, "get", f"{kind}.argoproj.io", name, "--ignore-not-found"))

    def forget(self, kind: str, name: str) -> None:
        """Delete it."""
        self.cluster.kubectl("-n", NAMESPACE, "delete", f"{kind}.argoproj.io", name)

    def get(self, application: str) -> Object:
        """An Application."""
        return json.loads(self.cluster.kubectl("-n", NAMESPACE, "get", APPLICATION, application, "-o", "json"))

    def until_synced(self, application: str, revision: str) -> Object:
        """Wait until a commit is what the cluster has; the Application."""

        def check() -> Object | None:
            found = self.get(application)
            status = found.get("status") or {}
            sync = status.get("sync") or {}
            # No operation: what was there already is what the commit says.
            done = (status.get("operationState") or {}).get("phase") in (None, "Succeeded")
            return found if done and (sync.get("status"), sync.get("revision")) == ("Synced", revision) else None

        self.look(application)
        return self.until(f"{application} Synced to {revision}", check)

    def until_health(self, application: str, seconds: float = WAIT_SECONDS, **wanted: str) -> dict[str, str]:
        """Wait until resources (by name of kind) have this health, `all` for the whole; what each says."""

        def check() -> dict[str, str] | None:
            status = self.get(application).get("status") or {}
            found = {entry["kind"]: entry.get("health") or {} for entry in status.get("resources") or []}
            found["all"] = status.get("health") or {}
            told = {kind: (found.get(kind) or {}).get("status") for kind in wanted}
            return {kind: found[kind].get("message", "") for kind in wanted} if told == wanted else None

        return self.until(f"{application} with {wanted}", check, seconds)

    def until(self, what: str, check: Callable[[], Any], seconds: float = WAIT_SECONDS) -> Any:
        """Wait until the check gives something."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if found := check():
                return found
            time.sleep(0.3)
        story = self.cluster.kubectl("-n", NAMESPACE, "get", APPLICATION, "-o", "yaml", "--ignore-not-found")
        raise AssertionError(f"{what} did not happen in {seconds} s:\n{story[-6000:]}")


@dataclass
class Followed:
    """A repository of a namespace's resources; an Application of the namespace's name syncs, heals and prunes them."""

    argo: Argo
    namespace: str
    git: Repository

    def begin(self) -> None:
        """Create the Application."""
        self.git.commit({"README.md": "The team's resources."})
        source = {"repoURL": self.git.url, "targetRevision": "main", "path": "."}
        automated = {"automated": {"prune": True, "selfHeal": True}, "syncOptions": ["ServerSideApply=true"]}
        spec = {"project": "default", "source": source, "syncPolicy": automated}
        self.argo.follow(self.namespace, {**spec, "destination": {**self.argo.here, "namespace": self.namespace}})

    def commit(self, files: Mapping[str, Object | str | None]) -> str:
        """Commit, and wait until the cluster has it; the revision."""
        revision = self.git.commit(files)
        self.argo.until_synced(self.namespace, revision)
        return revision

    def health(self, seconds: float = WAIT_SECONDS, **wanted: str) -> dict[str, str]:
        """Wait for the health of kinds, or of all; what each says."""
        return self.argo.until_health(self.namespace, seconds, **wanted)

    def no_difference(self, revision: str, *resources: str) -> None:
        """The cluster has what that commit says, also without any cache; of these specs, only Argo CD wrote any."""
        self.argo.look(self.namespace, hard=True)
        status = self.argo.get(self.namespace)["status"]
        assert (status["sync"]["status"], status["sync"]["revision"]) == ("Synced", revision)
        assert {entry["status"] for entry in status["resources"]} == {"Synced"}
        for resource in resources:
            asked = ("-n", self.namespace, "get", resource, "--show-managed-fields", "-o", "json")
            fields = json.loads(self.argo.cluster.kubectl(*asked))["metadata"]["managedFields"]
            assert {entry["manager"] for entry in fields if "subresource" not in entry} == {"argocd-controller"}
            assert {entry["subresource"] for entry in fields if "subresource" in entry} == {"status"}


@contextmanager
def running(kubeconfig: Path, folder: Path, config: Path) -> Iterator[Argo]:
    """Argo CD with this ConfigMap added to its own."""
    cluster = Cluster(kubeconfig)
    _install(cluster, config)
    _tools(folder / "tools")
    ports = {name: str(free_port()) for name in ("redis", "repo", "repo-metrics", "metrics", "sets", "probe", "hook")}
    redis, repository = f"127.0.0.1:{ports['redis']}", f"127.0.0.1:{ports['repo']}"
    server = ("--repo-server-plaintext", "--kubeconfig", str(kubeconfig), "--namespace", NAMESPACE)
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
    started = [_start(folder, kubeconfig, command) for command in commands]
    try:
        yield Argo(cluster)
    finally:
        for process in reversed(started):
            process.kill()
            process.wait()


def _start(folder: Path, kubeconfig: Path, command: tuple[str, ...]) -> subprocess.Popen[bytes]:
    env = {
        **os.environ,
        "PATH": f"{folder / 'tools'}:{os.environ['PATH']}",
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "KUBECONFIG": str(kubeconfig),
        "ARGOCD_GPG_ENABLED": "false",  # else it wants a folder of keys
        "GOGC": "200",
    }
    with (folder / f"{command[0]}.log").open("wb") as log:
        program = programs("argocd") / "argocd"
        return subprocess.Popen(
            command, executable=program, env=env, stdout=log, stderr=log, preexec_fn=die_with_parent
        )


def _tools(folder: Path) -> None:
    folder.mkdir()
    for name, text in _TOOLS.items():
        path = folder / name
        path.write_text(text.format(kubectl=programs("binaries") / "kubectl"))
        path.chmod(0o755)


def _install(cluster: Cluster, config: Path) -> None:
    _create(cluster, {"kind": "Namespace", "metadata": {"name": NAMESPACE}})
    (crds,) = programs("argocd").glob("argocd-crds-*")
    for crd in sorted(crds.glob("*-crd.yaml")):
        cluster.kubectl("apply", "--server-side", "-f", str(crd))
    _create(cluster, {"kind": "ConfigMap", "metadata": {"name": "argocd-cm"}})
    secret = {"server.secretkey": "tests"}
    _create(cluster, {"kind": "Secret", "metadata": {"name": "argocd-secret"}, "stringData": secret})
    _create(cluster, _destination(cluster))
    # The usual condition=Established fails on a CRD that has no condition yet.
    established = '--for=jsonpath={.status.conditions[?(@.type=="Established")].status}=True'
    cluster.kubectl("wait", established, "crd", "--all", "--timeout=60s")
    anything = {"sourceRepos": ["*"], "destinations": [{"server": "*", "namespace": "*"}]}
    everywhere = {"clusterResourceWhitelist": [{"group": "*", "kind": "*"}]}
    project = {"apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject", "metadata": {"name": "default"}}
    _create(cluster, {**project, "spec": anything | everywhere})
    cluster.kubectl("-n", NAMESPACE, "apply", "--server-side", "--field-manager=flywheel", "-f", str(config))


def _destination(cluster: Cluster) -> Object:
    found, user = cluster.config["cluster"], cluster.config["user"]
    tls = {"caData": found["certificate-authority-data"]}
    tls |= {
        name: user[key]
        for name, key in (("certData", "client-certificate-data"), ("keyData", "client-key-data"))
        if key in user
    }
    config = json.dumps({"bearerToken": user.get("token", ""), "tlsClientConfig": tls})
    return {
        "kind": "Secret",
        "metadata": {"name": "cluster-here", "labels": {"argocd.argoproj.io/secret-type": "cluster"}},
        "stringData": {"name": "here", "server": found["server"], "config": config},
    }


def _create(cluster: Cluster, resource: Object) -> None:
    labels = {**_PARTS, **resource["metadata"].get("labels", {})}
    body = {"apiVersion": "v1", **resource, "metadata": {**resource["metadata"], "labels": labels}}
    namespaced = () if resource["kind"] == "Namespace" else ("-n", NAMESPACE)
    cluster.kubectl(*namespaced, "apply", "--server-side", "-f", "-", stdin=json.dumps(body))
