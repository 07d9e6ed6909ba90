"""An external teacher is refused unless prompts are redacted or the owner says otherwise; a cluster's own is not."""

from __future__ import annotations

import pytest
from resources import curriculum, curriculum_spec, ready, run_spec
from simulation import World

from flywheel.api.curriculum import Curriculum
from flywheel.loop.privacy import external


def open_curriculum(**privacy: object) -> Curriculum:
    made = curriculum(status=ready())
    spec = made.spec.model_validate(curriculum_spec() | {"privacy": privacy})
    return made.model_copy(update={"spec": spec})


def stalled(world: World) -> str | None:
    return next((entry.reason for entry in world.read_status().conditions if entry.type == "Stalled"), None)


def world_with(base_url: str, proxy: str | None = None, **privacy: object) -> World:
    spec = run_spec()
    spec["teacher"] |= {"baseURL": base_url} | ({"proxy": proxy} if proxy else {})
    world = World(curriculum=open_curriculum(**privacy), spec=spec)
    world.reconcile()
    return world


BARE = {"redact": {"secrets": False}}
OUTSIDE = "https://teacher.example.com/v1"


@pytest.mark.parametrize(
    ("base_url", "privacy", "reason"),
    [
        (OUTSIDE, BARE, "NotRedacted"),
        (OUTSIDE, {"redact": {"emails": False}}, "NotRedacted"),
        (OUTSIDE, {}, None),
        (OUTSIDE, BARE | {"externalTeacher": "Unredacted"}, None),
        ("http://teacher.models.svc:8000/v1", BARE, None),
    ],
)
def test_an_external_teacher_sees_only_what_is_redacted_or_allowed(
    base_url: str, privacy: dict[str, object], reason: str | None
) -> None:
    world = world_with(base_url, **privacy)
    assert stalled(world) == reason
    assert bool(world.created) == (reason is None)


@pytest.mark.parametrize(
    ("proxy", "reason"), [("http://proxy.example.com:3128", "NotRedacted"), ("http://proxy:3128", None)]
)
def test_a_proxy_sees_what_the_teacher_sees(proxy: str, reason: str | None) -> None:
    assert stalled(world_with("http://teacher:8000/v1", proxy, **BARE)) == reason


def test_once_it_is_mended_the_run_goes_on() -> None:
    world = world_with(OUTSIDE, **BARE)
    world.curriculum = open_curriculum()
    world.reconcile()
    assert stalled(world) is None
    assert world.created


@pytest.mark.parametrize(
    ("url", "outside"),
    [
        ("http://teacher:8000/v1", False),
        ("http://teacher.models.svc/v1", False),
        ("http://teacher.models.svc.cluster.local./v1", False),
        ("http://10.1.2.3/v1", False),
        ("http://[fd00::1]:80/v1", False),
        ("http://127.0.0.1/v1", False),
        ("https://api.example.com/v1", True),
        ("https://svc.example.com/v1", True),
        ("https://notsvc/v1", False),
        ("http://8.8.8.8/v1", True),
        ("https://TEACHER.SVC.evil.example/v1", True),
        ("http://000000000[", True),  # no host can be told
    ],
)
def test_outside_is_what_is_no_service_and_no_private_address(url: str, outside: bool) -> None:
    assert external(url) == outside
