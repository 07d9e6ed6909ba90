"""Rollouts on the real server: good candidates serve, others never do, and a restarted server needs no operator."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from flywheel.serving.errors import ServingError
from flywheel.serving.triton import TritonPod

from .bed import QUESTIONS, again, deployed_on, foreign, offer, said
from .server import MODEL, Models, Server


class Client:
    """Someone who asks the stable model all the time."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._over = threading.Event()
        self.answers: list[tuple[str, str]] = []
        self.failures: list[str] = []
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self) -> Client:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        self._thread.join()

    def ask_once_more(self) -> None:
        """Until a question that was put from now on is answered: the first that comes in may be an earlier one."""
        wanted = len(self.answers) + len(self.failures) + 2
        while self._thread.is_alive() and len(self.answers) + len(self.failures) < wanted:
            self._over.wait(0.1)

    def _ask(self) -> None:
        with TritonPod(self._address) as pod:
            while not self._over.wait(0.3):
                try:
                    reply = pod.ask(MODEL, QUESTIONS[0])
                    self.answers.append((reply.text, reply.served_by))
                except ServingError as error:
                    self.failures.append(str(error))


def test_good_candidates_serve_bad_ones_never_do(server: Callable[..., Server], models: Models, tmp_path: Path) -> None:
    first, second = models.adapters["critical"], models.adapters["trivial"]
    broken, unlike = foreign(second, tmp_path / "foreign"), again(second, tmp_path / "unlike")
    one = server()
    bed = deployed_on(tmp_path, one)

    offer(bed, 1, first, expected=first.label)
    bed.until_at_rest()
    assert bed.serving() == first.digest

    with Client(one.address) as client:
        offer(bed, 2, broken, expected=second.label)
        bed.until_at_rest()
        offer(bed, 3, unlike, expected="minor")  # answers other than measured
        bed.until_at_rest()
        assert bed.serving() == first.digest
        assert set(client.answers) == {said(first)}
        assert bed.rejected() == [broken.digest, unlike.digest]

        offer(bed, 4, second, expected=second.label)
        bed.until_at_rest()
        assert bed.serving() == second.digest
        client.ask_once_more()
    assert client.failures == []
    assert list(dict.fromkeys(client.answers)) == [said(first), said(second)]  # never back and forth

    one.stop()
    one.start()
    with TritonPod(one.address) as pod:  # the disk alone says what serves
        assert pod.loaded() == [MODEL]
        reply = pod.ask(MODEL, QUESTIONS[0])
        assert (reply.text, reply.served_by) == said(second)
    assert sorted(path.name for path in one.repository.iterdir() if "tmp" in path.name) == []
