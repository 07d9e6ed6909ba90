"""Which pool a group falls into: fixed thresholds on a keyed hash, as the Curriculum assigns them.

Knows names and numbers only. Repeated here so that the data can be checked without the operator.
"""

import hashlib

KEY = "code-review-2715"
RATIOS = {"exam": 0.25, "curriculum": 0.35, "validation": 0.18, "test": 0.18, "probe": 0.04}
HELD_OUT = ("validation", "test")


def pool_of(group: str, key: str = KEY) -> str:
    place = int.from_bytes(hashlib.sha256(f"{key}\0{group}".encode()).digest()[:8], "big") / 2**64
    bound = 0.0
    for pool, share in RATIOS.items():
        bound += share
        if place < bound:
            return pool
    return list(RATIOS)[-1]
