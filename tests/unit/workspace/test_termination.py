"""SIGTERM ends a step at once, but not within what belongs together."""

import os
import signal
from collections.abc import Generator

import pytest

from flywheel.workspace.termination import Termination


@pytest.fixture
def listening() -> Generator[Termination]:
    before = signal.getsignal(signal.SIGTERM)
    termination = Termination()
    termination.listen()
    yield termination
    signal.signal(signal.SIGTERM, before)


def test_it_ends_at_once(listening: Termination) -> None:
    with pytest.raises(SystemExit, match="143"):
        os.kill(os.getpid(), signal.SIGTERM)


def test_it_waits_for_what_belongs_together(listening: Termination) -> None:
    done: list[str] = []
    with pytest.raises(SystemExit, match="143"):
        with listening.held():
            os.kill(os.getpid(), signal.SIGTERM)
            done.append("intent")
            done.append("request")
        done.append("next")
    assert done == ["intent", "request"]


def test_nothing_ends_that_was_not_asked_to(listening: Termination) -> None:
    with listening.held():
        pass
