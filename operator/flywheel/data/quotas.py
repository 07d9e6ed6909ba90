"""How many items of each label: evenly, or more for the weak ones but never less than half of an even share.

Pure arithmetic; must not know what is counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction


def even_quotas(total: int, labels: Sequence[str]) -> dict[str, int]:
    """Exactly `total`, spread over the labels; earlier labels get what is left over."""
    share, left = divmod(total, len(labels))
    return {label: share + (place < left) for place, label in enumerate(labels)}


def weighted_quotas(total: int, weights: Mapping[str, float]) -> dict[str, int]:
    """Exactly `total`: half of an even share for every label, the rest by weight (largest remainders first)."""
    labels = list(weights)
    half = -(-total // (2 * len(labels)))
    if half * len(labels) > total:  # fewer than one for each: no floor is possible
        half = 0
    if not any(weight > 0 for weight in weights.values()):
        return even_quotas(total, labels)
    rest = total - half * len(labels)
    whole = sum(Fraction(max(weight, 0.0)) for weight in weights.values())
    exact = {label: rest * Fraction(max(weights[label], 0.0)) / whole for label in labels}
    quotas = {label: int(exact[label]) for label in labels}
    by_remainder = sorted(labels, key=lambda label: (quotas[label] - exact[label], labels.index(label)))
    for label in by_remainder[: rest - sum(quotas.values())]:
        quotas[label] += 1
    return {label: half + quotas[label] for label in labels}


def portions(count: int, size: int) -> list[int]:
    """A count in parts of at most `size`, as even as can be."""
    parts = -(-count // size)
    return [count // parts + (place < count % parts) for place in range(parts)] if count > 0 else []
