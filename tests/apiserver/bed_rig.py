"""Tells stories: many at once, each in a namespace of its own, with faults."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from bed_control_plane import ControlPlane
from bed_driver import Driver, Luck
from bed_faults import UnluckyClient, UnluckyNews
from bed_operator import client_for
from bed_outcome import Outcome, outcome
from bed_serving import Serving
from bed_stories import Story
from bed_watch import Watcher

from flywheel.controller.client import Api
from flywheel.controller.resources import Resource

AT_ONCE = 24  # most of the time they wait for the controllers of Kubernetes
NAMESPACE = Resource("", "v1", "namespaces", "Namespace")
Item = TypeVar("Item")


@dataclass
class Told:
    """A story that was told."""

    outcome: Outcome
    luck: Luck
    deaths: int


@dataclass
class Rig:
    """What all stories share. Faults go to clients with the operator's own rights."""

    plane: ControlPlane
    api: Api
    serving: Serving = field(default_factory=Serving)
    _numbers: Any = field(default_factory=lambda: itertools.count(1))
    _golden: dict[str, Told] = field(default_factory=dict[str, Told])

    def __post_init__(self) -> None:
        self.client = client_for(self.plane.operator)
        self.watcher = Watcher(client_for(self.plane.admin), self.api)
        self.watcher.start()

    def luck(self, client: UnluckyClient | None = None, news: UnluckyNews | None = None) -> Luck:
        """Good luck, but for what is said."""
        return Luck(client or UnluckyClient(self.client), news or UnluckyNews())

    def tell(self, story: Story, *lucks: Luck) -> Told:
        """Tell it to its end, with an operator for each luck; one of good luck by default."""
        lucks = lucks or (self.luck(),)
        namespace = f"{story.name}-{next(self._numbers)}"
        feed = self.watcher.feed(namespace)
        self.api.create(NAMESPACE, None, {"metadata": {"name": namespace}})
        driver = Driver(self.api, namespace, feed, story.script, story.done, list(lucks), list(story.acts))
        pods = self.serving.start(self.api, namespace, driver.node.said.values())
        story.begin(self.api, namespace)
        try:
            driver.run()
        finally:
            self.api._json("delete", "DELETE", NAMESPACE, NAMESPACE.path(None, namespace))
        return Told(outcome(driver, pods), lucks[0], driver.deaths)

    def golden(self, story: Story) -> Told:
        """Where nothing goes wrong; told once."""
        if story.name not in self._golden:
            self._golden[story.name] = self.tell(story)
        return self._golden[story.name]

    def at_once(self, tell: Callable[[Item], Told], items: Iterable[Item]) -> list[Told]:
        """Tell many."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return list(pool.map(tell, items))
