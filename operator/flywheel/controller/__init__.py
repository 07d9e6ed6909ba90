"""The operator as a process: watches -> cache -> work queue -> observe -> decide -> apply.

Decides nothing itself: what to do is in flywheel.loop and flywheel.serving.
"""
