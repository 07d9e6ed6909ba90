"""What runs inside a Job, one file per step: `python -m flywheel.steps.<name>`.

A step knows its request and the workspace; it must not know the cluster or the loop.
"""
