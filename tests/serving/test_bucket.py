"""The real tritonserver on a copy of a bucket: a rollout goes through it, with the programs that pods run."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from unittest.mock import patch

import pytest
import s3_server
from s3_server import ACCESS, KEY, SECRET

from flywheel.api.adapterdeployment import AdapterDeployment
from flywheel.api.workspace import S3
from flywheel.loop.observed import JobView
from flywheel.loop.plan import StepJob
from flywheel.serving.triton import TritonPod
from flywheel.workspace.bucket import Bucket
from flywheel.workspace.copied import Copy
from flywheel.workspace.revisions import Revisions
from flywheel.workspace.served import Served
from flywheel.workspace.sidecar import serve

from .bed import QUESTIONS, Bed, deployed_on, offer, said
from .server import MODEL, PATHS, ROOT, Models, Server, free_port


class PullingServer(Server):
    """A pod: an empty folder each time, filled by the container that pulls before the server starts."""

    place: S3

    def start(self) -> None:
        shutil.rmtree(self.repository, ignore_errors=True)
        self.repository.mkdir()
        port = free_port()
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT / "operator"),
            "FLYWHEEL_S3": self.place.model_dump_json(by_alias=True, exclude_none=True),
            "FLYWHEEL_S3_ACCESS_KEY_ID": KEY,
            "FLYWHEEL_S3_SECRET_ACCESS_KEY": SECRET,
            "FLYWHEEL_S3_HOSTS": "127.0.0.1",
            "FLYWHEEL_FOLDER": str(self.repository),
            "FLYWHEEL_PORT": str(port),
        }
        with self.log.open("ab") as log:
            pull = [sys.executable, "-m", "flywheel.workspace.pull"]
            self._pull = subprocess.Popen(pull, env=environment, stdout=log, stderr=log)
        for _ in range(600):
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.1)
        super().start()

    def stop(self) -> None:
        super().stop()
        self._pull.kill()
        self._pull.wait()


class BucketBed(Bed):
    """Each publish has an empty folder, and a sidecar that holds the key."""

    place: S3

    def _process(self, job: StepJob) -> JobView:
        if job.request.step != "publish":
            return super()._process(job)
        shutil.rmtree(self.repository, ignore_errors=True)
        self.repository.mkdir()
        keys = {"ACCESS_KEY_ID": KEY, "SECRET_ACCESS_KEY": SECRET, "HOSTS": "127.0.0.1"}
        environment = {f"FLYWHEEL_REPOSITORY_{name}": value for name, value in keys.items()}
        environment["FLYWHEEL_REPOSITORY_S3"] = json.dumps(self.place.to_json_object())
        served = Served(job.request, environment)
        path = self.repository / ".sidecar"
        with serve(path, served.do) as sidecar, patch.dict(os.environ, {"FLYWHEEL_REPOSITORY": str(path)}):
            threading.Thread(target=sidecar.serve_forever, daemon=True).start()
            try:
                return super()._process(job)
            finally:
                sidecar.shutdown()


@pytest.fixture
def place(tmp_path: Path, ml_python: Path) -> Iterator[S3]:
    """A bucket that holds the stable model, of no adapter, as the seed Job leaves it."""
    try:
        program = s3_server.built()
    except subprocess.CalledProcessError as error:
        pytest.skip(f"the S3 server cannot be built: {' '.join(error.stderr.split()[-20:])}")
    (tmp_path / "s3").mkdir()
    with s3_server.running(program, tmp_path / "s3") as server:
        place, model = server.place(), tmp_path / "seed"
        model.mkdir()
        environment = {"PYTHONPATH": ":".join(PATHS), "MODEL_NAME": MODEL, "MODEL_REPOSITORY": str(model)}
        subprocess.run([ml_python, "-m", "flywheel_triton.seed"], env=environment, check=True)
        assert Copy(Revisions(Bucket(place, ACCESS)), model).seed()
        yield place


def test_a_rollout_through_a_bucket(place: S3, models: Models, triton: Path, ml_python: Path, tmp_path: Path) -> None:
    server = PullingServer(tmp_path / "pod", models.home / "base", triton, ml_python, tmp_path / "log")
    server.place = place
    plain = deployed_on(tmp_path, server)
    target = plain.deployment.spec.target.to_json_object()
    target["triton"]["repository"] = {"s3": place.to_json_object()}
    bed = BucketBed(plain.service, tmp_path / "job", plain.workspace, plain.deployment, pause=0.5)
    bed.place = place
    bed.edit(target=target)
    heard: list[str] = []
    wanted = models.adapters["critical"]

    def serves(deployment: AdapterDeployment) -> bool:
        heard.extend(entry.message for entry in deployment.status.conditions)
        status = deployment.status
        return status.rollout is None and status.serving is not None and status.serving.digest == wanted.digest

    server.start()
    try:
        with TritonPod(server.address) as pod:
            for number, label in enumerate(("critical", "trivial")):
                wanted = models.adapters[label]
                offer(bed, number + 1, wanted, wanted.label)
                bed.until(serves)
                reply = pod.ask(MODEL, QUESTIONS[0])
                assert (reply.text, reply.served_by) == said(wanted)
        assert any("has not pulled" in words for words in heard), "the copy is seconds late, and no adapter's fault"
        assert bed.rejected() == []
        bed.service.remove("triton-0")
        bed.service.add("triton-0")
        with TritonPod(server.address) as pod:  # a new pod, without the operator
            assert pod.loaded() == [MODEL]
            reply = pod.ask(MODEL, QUESTIONS[0])
            assert (reply.text, reply.served_by) == said(wanted)
    finally:
        server.stop()
