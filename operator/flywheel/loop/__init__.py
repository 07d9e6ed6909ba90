"""Decisions: pure functions from what is observed and the time to a plan. One file per policy.

Must not know kopf, kubernetes, files, network or a clock of its own.
"""
