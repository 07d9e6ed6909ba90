"""Two AdapterDeployments on one real tritonserver and one repository, told to do different things at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from flywheel.serving.triton import TritonPod

from .bed import QUESTIONS, Bed, deployed_on, foreign, offer, said
from .server import Models, Server

ONE, OTHER = "severity", "severity-cand"  # the second's name begins like the first's candidates


class Client:
    """Asks one stable name all the time; what was said, each change once."""

    def __init__(self, server: Server, model: str) -> None:
        self.heard: list[tuple[str, str]] = []
        self.asked = 0
        self._server, self._model, self._over = server, model, threading.Event()
        self._pool = ThreadPoolExecutor(1)

    def __enter__(self) -> Client:
        self._asking = self._pool.submit(self._ask)
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        self._asking.result()  # raises what it met: no question may fail

    def _ask(self) -> None:
        with TritonPod(self._server.address) as pod:
            while not self._over.wait(0.1):
                reply = pod.ask(self._model, QUESTIONS[0])
                self.asked += 1
                if [(reply.text, reply.served_by)] != self.heard[-1:]:
                    self.heard.append((reply.text, reply.served_by))


def at_once(*beds: Bed) -> None:
    with ThreadPoolExecutor(len(beds)) as pool:
        for ended in [pool.submit(bed.until_at_rest) for bed in beds]:
            ended.result()


def test_two_deployments_on_one_server_never_touch_each_other(
    server: Callable[..., Server], models: Models, tmp_path: Path
) -> None:
    critical, trivial = models.adapters["critical"], models.adapters["trivial"]
    triton = server(names=(ONE, OTHER))
    one, other = (deployed_on(tmp_path, triton, model=model) for model in (ONE, OTHER))
    other.edit(keep=0)  # what served before is dropped from the repository at once
    offer(one, 1, critical, critical.label)
    offer(other, 2, critical, critical.label)
    at_once(one, other)

    with Client(triton, ONE) as hears_one, Client(triton, OTHER) as hears_other:
        offer(one, 3, trivial, trivial.label)
        one.until_at_rest()
        broken = foreign(trivial, tmp_path / "broken")
        one.edit(pin=critical.digest)
        offer(other, 4, broken, broken.label)
        at_once(one, other)
        assert other.rejected() == [broken.digest]
    assert hears_one.heard == [said(critical), said(trivial), said(critical)]
    assert hears_other.heard == [said(critical)]
    assert min(hears_one.asked, hears_other.asked) > 10

    with Client(triton, ONE) as hears_one:
        offer(other, 5, trivial, trivial.label)  # drops the adapter that the first still serves
        other.until_at_rest()
    assert hears_one.heard == [said(critical)]
    triton.stop()
    triton.start()  # the disk alone says what serves
    with TritonPod(triton.address) as pod:
        assert pod.loaded() == [ONE, OTHER]
        replies = [pod.ask(model, QUESTIONS[0]) for model in (ONE, OTHER)]
    assert [(reply.text, reply.served_by) for reply in replies] == [said(critical), said(trivial)]
