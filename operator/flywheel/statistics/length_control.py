"""Rate at which the candidate is preferred, were its answers as long as the other arm's: judges like long answers.

A logistic regression of the outcome on the difference in length, read where that difference is nothing (Dubois,
Galambosi, Liang and Hashimoto, "Length-controlled AlpacaEval: a simple way to debias automatic evaluators", COLM 2024,
arXiv:2404.04475): logit P(win) = a + b * tanh(difference / its standard deviation), rate = P(win) at 0, ties half a
win. Simpler than there: no term for an item's difficulty, which is estimated over many models, where this has one pair.

A judge that sees length and nothing else separates the outcomes, and no estimate would be finite: both coefficients
have the log-F(1, 1) penalty, which is half a win and half a loss added where the other coefficient has no part
(Greenland and Mansournia, Statistics in Medicine 34 (2015) 3133-3143). The interval is a sandwich one, because ties
make the outcome fractional (Papke and Wooldridge, Journal of Applied Econometrics 11 (1996) 619-632).

Knows outcomes and lengths only.
"""

from collections.abc import Sequence
from math import exp, sqrt, tanh
from statistics import pstdev
from typing import NamedTuple

from flywheel.statistics.intervals import Interval, two_sided_z

_STEPS = 200
_CLOSE = 1e-10


class _Row(NamedTuple):
    """One observation: what multiplies a and b, the outcome from 0 to 1."""

    intercept: float
    length: float
    outcome: float


_PENALTY = (_Row(1.0, 0.0, 0.5), _Row(0.0, 1.0, 0.5))


def length_controlled_rate(outcomes: Sequence[int], longer_by: Sequence[float], *, level: float) -> Interval | None:
    """The rate with its interval, from outcomes (1, 0 or -1) and by how much the candidate's answer was the longer.

    None where all differences in length are the same: then nothing tells length from quality.
    """
    if not outcomes or len(outcomes) != len(longer_by):
        raise ValueError(f"outcomes, longer_by: {len(outcomes)} and {len(longer_by)} entries; give one of each an item")
    z, spread = two_sided_z(level), pstdev(longer_by)
    if spread == 0:
        return None
    rows = [_Row(1.0, tanh(by / spread), (1 + outcome) / 2) for outcome, by in zip(outcomes, longer_by, strict=True)]
    a, b = _fitted([*rows, *_PENALTY])
    error = _standard_error(rows, a, b)
    return Interval(_share(a), _share(a - z * error), _share(a + z * error), len(rows), level)


def _share(logit: float) -> float:
    return 1 / (1 + exp(-logit)) if logit >= 0 else exp(logit) / (1 + exp(logit))


def _fitted(rows: Sequence[_Row]) -> tuple[float, float]:
    """The likeliest a and b, by Newton's method; the penalised likelihood has one peak."""
    a = b = 0.0
    for _ in range(_STEPS):
        residuals = [row.outcome - _share(a * row.intercept + b * row.length) for row in rows]
        gradient = (
            sum(rest * row.intercept for rest, row in zip(residuals, rows, strict=True)),
            sum(rest * row.length for rest, row in zip(residuals, rows, strict=True)),
        )
        if max(map(abs, gradient)) < _CLOSE * len(rows):
            break
        step_a, step_b = _solved(_information(rows, a, b), gradient)
        scale = 1 / max(1.0, abs(step_a), abs(step_b))  # the likelihood is flat far out: no step is longer than 1
        a, b = a + scale * step_a, b + scale * step_b
    return a, b


_Square = tuple[float, float, float]  # of a symmetric matrix: first row, then the last entry


def _information(rows: Sequence[_Row], a: float, b: float) -> _Square:
    shares = [_share(a * row.intercept + b * row.length) for row in rows]
    weights = [share * (1 - share) for share in shares]
    return (
        sum(w * row.intercept**2 for w, row in zip(weights, rows, strict=True)),
        sum(w * row.intercept * row.length for w, row in zip(weights, rows, strict=True)),
        sum(w * row.length**2 for w, row in zip(weights, rows, strict=True)),
    )


def _solved(matrix: _Square, vector: tuple[float, float]) -> tuple[float, float]:
    aa, ab, bb = matrix
    scale = aa * bb - ab * ab
    return (bb * vector[0] - ab * vector[1]) / scale, (aa * vector[1] - ab * vector[0]) / scale


def _standard_error(rows: Sequence[_Row], a: float, b: float) -> float:
    """Of a: the first entry of H^-1 M H^-1, H the penalised information and M the residuals' own spread.

    M has the penalty's half wins and half losses too: where every item is a tie, there is no other spread.
    """
    ra, rb = _solved(_information([*rows, *_PENALTY], a, b), (1.0, 0.0))

    def squared(row: _Row, outcome: float) -> float:
        residual = outcome - _share(a * row.intercept + b * row.length)
        return ((ra * row.intercept + rb * row.length) * residual) ** 2

    own = sum(squared(row, row.outcome) for row in rows)
    return sqrt(own + sum((squared(row, 1.0) + squared(row, 0.0)) / 2 for row in _PENALTY))
