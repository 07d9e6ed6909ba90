"""What a person decides about an AdapterDeployment, by commit: a pin, and approval."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from flywheel.api.conditions import READY, STALLED
from flywheel.api.target import BASE
from flywheel.serving.names import candidate_name

from .world import MODEL, World, digest, run_with


def served(*numbers: int) -> World:
    """Candidates of one run that came into service one after the other."""
    world = World()
    for number in numbers:
        world.runs = [run_with(number, iteration=number)]
        world.settle()
    return world


def stables(world: World) -> set[str | None]:
    return {pod.stable for pod in world.pods.values()}


def previous(world: World) -> list[str]:
    return [entry.digest for entry in world.deployment.status.previous]


def test_a_pin_goes_back_and_its_removal_goes_forward_again() -> None:
    world = served(1, 2, 3)
    assert previous(world) == [digest(2), digest(1)]
    world.edit(pin=digest(1))
    world.settle()
    assert stables(world) == {digest(1)} == {world.disk}
    assert previous(world) == [digest(3), digest(2)]
    world.edit(pin=None)
    world.settle()
    assert stables(world) == {digest(3)} == {world.disk}


def test_what_is_pinned_needs_no_run() -> None:
    world = served(1, 2)
    world.runs = []
    world.edit(pin=digest(1))
    before = len(world.jobs)
    world.settle()
    assert stables(world) == {digest(1)}
    stage = next(job for name, job in list(world.jobs.items())[before:] if job.step == "stage")
    assert stage.iteration == 3
    assert not any(pod.candidates for pod in world.pods.values())


def test_a_pin_lets_no_candidate_by() -> None:
    world = served(1, 2)
    world.edit(pin=digest(2))
    world.runs = [run_with(3, iteration=3)]
    world.settle()
    assert stables(world) == {digest(2)}
    assert world.condition(READY) == ("True", "Serving")


def test_the_bare_student_can_be_pinned() -> None:
    world = served(1)
    world.edit(pin=BASE)
    world.settle()
    assert stables(world) == {BASE} == {world.disk}
    assert previous(world) == [digest(1)]
    bare = [asked for asked in world.requests.values() if asked.serve_base]
    assert {asked.adapter_digest for asked in bare} == {digest(1)}, "asked as this adapter's contract says"
    world.edit(pin=None)
    world.settle()
    assert stables(world) == {digest(1)}, "the newest candidate again"


def test_a_pin_of_nothing_known_is_said_and_what_serves_still_heals() -> None:
    world = served(1)
    world.edit(pin=digest(7))
    world.restart("triton-0")
    world.pods["triton-0"].stable = None
    world.settle()
    assert world.condition(STALLED) == ("True", "PinUnknown")
    assert stables(world) == {digest(1)}
    world.edit(pin=None)
    world.settle()
    assert world.condition(READY) == ("True", "Serving")


def test_base_before_any_adapter_is_said() -> None:
    world = World()
    world.edit(pin=BASE)
    world.settle()
    assert world.condition(STALLED) == ("True", "PinUnknown")


def test_a_rejected_adapter_cannot_be_pinned() -> None:
    world = served(1)
    world.bad = {digest(2)}
    world.runs = [run_with(2, iteration=2)]
    world.settle()
    world.edit(pin=digest(2))
    world.settle()
    assert stables(world) == {digest(1)}
    assert world.condition(STALLED) == ("True", "PinUnknown")


def test_a_candidate_waits_for_its_digest_to_be_approved() -> None:
    world = World(runs=[run_with(1)])
    world.edit(approval="Manual")
    world.settle()
    waiting = world.deployment.status.waiting
    assert waiting is not None and waiting.digest == digest(1)
    assert world.condition(STALLED) == ("True", "AwaitingApproval")
    assert not world.jobs
    world.edit(approvedDigest=digest(1))
    world.settle()
    assert stables(world) == {digest(1)}
    assert world.deployment.status.waiting is None

    world.runs = [run_with(2, iteration=2)]
    world.settle()
    assert stables(world) == {digest(1)}, "the approval was for another one"
    ready = next(entry for entry in world.deployment.status.conditions if entry.type == READY)
    assert ready.status == "True" and digest(2) in ready.message
    writes = world.writes
    for _ in range(5):
        world.decide()
    assert world.writes == writes, "waiting costs nothing"


def test_approval_that_is_taken_back_stops_a_rollout_and_costs_nothing() -> None:
    world = served(1)
    world.edit(approval="Manual", approvedDigest=digest(2))
    world.runs = [run_with(2, iteration=2)]
    while not any(pod.candidates for pod in world.pods.values()):
        world.decide()
        world.end_jobs()
    world.edit(approvedDigest=digest(1))
    world.settle()
    assert stables(world) == {digest(1)} == {world.disk}
    assert not any(pod.candidates for pod in world.pods.values())
    assert any(event.reason == "RolloutAborted" for event in world.events)
    assert world.deployment.status.rejected == []
    world.edit(approvedDigest=digest(2))
    world.settle()
    assert stables(world) == {digest(2)}


def test_approval_that_is_taken_back_while_the_disk_changes_leaves_the_disk_as_it_was() -> None:
    world = served(1)
    world.edit(approval="Manual", approvedDigest=digest(2))
    world.runs = [run_with(2, iteration=2)]
    while world.disk == digest(1):
        world.decide()
        world.end_jobs()
    assert world.deployment.status.on_disk == digest(1), "nobody has heard of it yet"
    world.edit(approvedDigest=digest(1))
    world.restart("triton-1")
    world.settle()
    assert stables(world) == {digest(1)} == {world.disk}


def test_as_many_are_kept_as_the_spec_says() -> None:
    world = World()
    world.edit(keep=1)
    for number in (1, 2, 3):
        world.runs = [run_with(number, iteration=number)]
        world.settle()
    assert previous(world) == [digest(2)]
    assert world.on_volume == {digest(2), digest(3)}, "the volume holds what can be gone back to"
    world.edit(keep=0)
    world.runs = [run_with(4, iteration=4)]
    world.settle()
    assert previous(world) == []
    assert world.on_volume == {digest(4)}


def test_a_rejected_adapter_leaves_the_volume_with_the_next_rollout() -> None:
    world = served(1)
    world.bad = {digest(2)}
    world.runs = [run_with(2, iteration=2)]
    world.settle()
    world.runs = [run_with(3, iteration=3)]
    world.settle()
    assert world.on_volume == {digest(1), digest(3)}


CANARY = {"canary": {"pods": 1, "pause": "1m"}}
STEPS = st.sampled_from(
    ["newer", "pin", "base", "unpin", "approve", "withdraw", "canary", "lost", "end", "end", "end", "crash", "restart"]
)


@settings(max_examples=100, deadline=None)
@given(st.lists(STEPS, max_size=40))
def test_whatever_is_pinned_when_it_ends_up_serving(steps: list[str]) -> None:
    world = served(1, 2)
    newest = 2
    for step in steps:
        match step:
            case "newer":
                newest += 1
                world.runs = [run_with(newest, iteration=newest)]
            case "pin":
                world.edit(pin=digest(1))
            case "base":
                world.edit(pin=BASE)
            case "unpin":
                world.edit(pin=None)
            case "approve":
                world.edit(approval="Manual", approvedDigest=digest(newest))
            case "withdraw":
                world.edit(approval="Manual", approvedDigest=digest(1))
            case "canary":
                world.edit(rollout=CANARY)
            case "crash":
                world.end_jobs(1)
            case "end":
                world.end_jobs()
            case "restart":
                world.restart("triton-1")
            case _:
                pass
        world.decide(lost=step == "lost")
    pin = world.deployment.spec.pin
    world.edit(approval="Automatic")
    world.settle()
    wanted = pin or digest(newest)
    # What is not kept any more cannot be gone back to; that is said.
    if world.condition(STALLED) != ("True", "PinUnknown"):
        assert stables(world) == {wanted} == {world.disk}
    assert not any(name.startswith(candidate_name(MODEL, "")) for pod in world.pods.values() for name in pod.candidates)
