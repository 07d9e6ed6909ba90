"""What gain a number of items can show: said before a run spends money on a question its items cannot answer.

Knows sizes and shares only: nothing about items or arms.
"""

from collections.abc import Sequence
from math import sqrt
from statistics import NormalDist

from flywheel.statistics.intervals import two_sided_z

# Of the answers of two arms, before anything is measured: what SCIENCE assumes.
DISCORDANT = 0.15


def even_items(strata: Sequence[int]) -> int:
    """Items, evenly spread over the labels, that tell a difference of balanced accuracy as well as these do.

    `strata` is the number of items of each label that has any. The variance of a mean of k strata's differences is
    d / k^2 * (1 / n_1 + ... + 1 / n_k) where a share d differs in each, so that n = k^2 / (1 / n_1 + ... + 1 / n_k)
    even items have the same; rounded down.
    """
    if not strata or min(strata) < 1:
        raise ValueError(f"strata: {list(strata)} holds a label without items, or none; leave such labels out")
    return int(len(strata) ** 2 / sum(1 / items for items in strata) + 1e-9)


def detectable_gain(items: int, discordant: float, *, level: float, power: float = 0.8) -> float | None:
    """Smallest true gain that a two-sided McNemar test at 1 - level shows with the given power.

    `discordant` is the share of items on which the two arms differ. The sample size for a gain g is, in the normal
    approximation, n = (z_level * sqrt(discordant) + z_power * sqrt(discordant - g^2))^2 / g^2 (Miettinen, Biometrics
    24 (1968) 339-352; Connor, Biometrics 43 (1987) 207-211), solved here for g. None if even a win on every differing
    item would be too small a gain to be detected.
    """
    if items < 1:
        raise ValueError(f"items: {items} is too few; give at least 1")
    if not 0 < discordant <= 1:
        raise ValueError(f"discordant: {discordant} is not a share above 0 and at most 1; give one such as 0.15")
    if not 0.5 <= power < 1:
        raise ValueError(f"power: {power} is not a share from 0.5 to below 1; give one such as 0.8")
    z_level, z_power = two_sided_z(level), NormalDist().inv_cdf(power)
    beyond = items - z_level * z_level
    if beyond < 0:  # not even a win on every item is significant, and the equation has no root
        return None
    gain = sqrt(discordant) * (z_level * sqrt(items) + z_power * sqrt(beyond + z_power * z_power))
    gain /= items + z_power * z_power
    return gain if gain <= discordant else None


def shown_gain(strata: Sequence[int], *, level: float) -> float | None:
    """Smallest gain that so many items of each label can show, by what SCIENCE assumes; None without items, too."""
    counted = [items for items in strata if items]
    even = even_items(counted) if counted else 0
    return detectable_gain(even, DISCORDANT, level=level) if even else None
