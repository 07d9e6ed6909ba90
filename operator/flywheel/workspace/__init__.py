"""The contract between steps: paths, digests, manifests, atomic writes, and how a step's program begins and ends.

Must not know the loop, the cluster or the teacher.
"""
