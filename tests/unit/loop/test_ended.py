"""A run that has ended: what is told of it when its spec is edited afterwards."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from resources import run_spec
from simulation import World

from flywheel.loop.decide import decide_run


def test_the_end_is_told_of_a_spec_that_was_edited_after_it() -> None:
    """`kubectl wait` takes no condition of an older generation: it would wait for ever. Nothing else is changed."""
    world = World(spec=run_spec(maxIterations=1))
    world.to_end()
    observed = world.observe()
    run = observed.run
    for generation in (run.metadata.generation, run.metadata.generation + 3):
        metadata = run.metadata.model_copy(update={"generation": generation})
        plan = decide_run(
            replace(observed, run=run.model_copy(update={"metadata": metadata})), world.now + timedelta(hours=1)
        )
        assert not plan.create and not plan.delete and not plan.events
        told = {(entry.type, entry.observed_generation) for entry in plan.status.conditions}
        assert {("Ready", generation), ("Completed", generation)} <= told
        assert plan.status.observed_generation == generation
        before = {entry.type: entry.last_transition_time for entry in run.status.conditions}
        assert {entry.type: entry.last_transition_time for entry in plan.status.conditions} == before
        same = {"conditions": run.status.conditions, "observed_generation": run.status.observed_generation}
        assert plan.status.model_copy(update=same) == run.status
