"""Two samples against each other: difference, its interval, effect size, p-value.

===================== ============================================================
`mean_of`             mean of a sample and its 95 % interval
`paired_difference`   of values of the same neurons, once and again
`difference`          of values of different neurons
`accuracy_difference` of two proportions of right decisions
`false_discovery`     p-values of many comparisons, controlled together
===================== ============================================================

Neurons count as independent, which those of one recurrent network are not: intervals and
p-values are for telling what is worth looking at, effect sizes for saying how much it is.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from v1sim.analysis.readout import wilson_interval

__all__ = [
    "AccuracyChange",
    "Change",
    "Mean",
    "accuracy_difference",
    "difference",
    "false_discovery",
    "mean_of",
    "paired_difference",
]

F64 = NDArray[np.float64]
Bools = NDArray[np.bool_]

_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Mean:
    """Mean of n values and its 95 % interval (Student's t); NaN where there are too few."""

    n: int
    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Change:
    """How one sample differs from another.

    Attributes
    ----------
    paired : bool
        Whether values were compared neuron by neuron.
    n_before, n_after : int
        Number of values; equal where they are paired.
    mean_before, mean_after, difference : float
        Means, and the second less the first.
    low, high : float
        95 % interval of the difference: Student's t of paired values, Welch's of others.
    effect : float
        From -1 (every value fell) to 1 (every value rose). Paired: the matched-pairs
        rank-biserial correlation (Kerby 2014, doi 10.2466/11.IT.3.1). Others: Cliff's delta
        (Cliff 1993, doi 10.1037/0033-2909.114.3.494).
    p : float
        Of Wilcoxon's signed-rank test, or of Mann and Whitney's U.
    """

    paired: bool
    n_before: int
    n_after: int
    mean_before: float
    mean_after: float
    difference: float
    low: float
    high: float
    effect: float
    p: float


@dataclass(frozen=True)
class AccuracyChange:
    """How an accuracy differs from another, with its 95 % interval and p-value."""

    paired: bool
    difference: float
    low: float
    high: float
    p: float


def mean_of(values: F64) -> Mean:
    """Mean of a sample; values that are not there (NaN) are left out."""
    values = values[~np.isnan(values)]
    n = len(values)
    if not n:
        return Mean(0, np.nan, np.nan, np.nan)
    mean = float(values.mean())
    if n == 1:
        return Mean(1, mean, np.nan, np.nan)
    half = stats.t.ppf((1 + _CONFIDENCE) / 2, n - 1) * values.std(ddof=1) / np.sqrt(n)
    return Mean(n, mean, mean - float(half), mean + float(half))


def paired_difference(before: F64, after: F64) -> Change | None:
    """How values of the same neurons changed; None where no neuron has both.

    Parameters
    ----------
    before, after : float array, shape (n,)
        Neuron by neuron; those with a NaN in either are left out.
    """
    both = ~np.isnan(before) & ~np.isnan(after)
    before, after = before[both], after[both]
    n = len(before)
    if not n:
        return None
    change = after - before
    moved = change[change != 0]
    ranks = stats.rankdata(np.abs(moved))
    total = ranks.sum()
    effect = float((ranks[moved > 0].sum() - ranks[moved < 0].sum()) / total) if total else 0.0
    with warnings.catch_warnings():  # of small samples with ties, where it approximates
        warnings.simplefilter("ignore")
        p = float(stats.wilcoxon(moved).pvalue) if moved.size else 1.0
    mean = mean_of(change)
    return Change(
        paired=True,
        n_before=n,
        n_after=n,
        mean_before=float(before.mean()),
        mean_after=float(after.mean()),
        difference=mean.mean,
        low=mean.low,
        high=mean.high,
        effect=effect,
        p=p,
    )


def difference(before: F64, after: F64) -> Change | None:
    """How values of different neurons differ; None where one sample is empty.

    Parameters
    ----------
    before : float array, shape (n,)
    after : float array, shape (m,)
        Values that are not there (NaN) are left out.
    """
    before, after = before[~np.isnan(before)], after[~np.isnan(after)]
    n, m = len(before), len(after)
    if not n or not m:
        return None
    test = stats.mannwhitneyu(after, before)
    low, high = np.nan, np.nan
    variance = (before.var(ddof=1) / n if n > 1 else 0.0) + (
        after.var(ddof=1) / m if m > 1 else 0.0
    )
    change = float(after.mean() - before.mean())
    if n > 1 and m > 1:
        if variance > 0:
            with warnings.catch_warnings():  # of values that are all but equal
                warnings.simplefilter("ignore")
                welch = stats.ttest_ind(after, before, equal_var=False)
            interval = welch.confidence_interval(_CONFIDENCE)
            low, high = float(interval.low), float(interval.high)
        else:
            low = high = change
    return Change(
        paired=False,
        n_before=n,
        n_after=m,
        mean_before=float(before.mean()),
        mean_after=float(after.mean()),
        difference=change,
        low=low,
        high=high,
        effect=float(2 * test.statistic / (n * m) - 1),
        p=float(test.pvalue),
    )


def accuracy_difference(before: Bools, after: Bools, *, paired: bool) -> AccuracyChange:
    """How the fraction of right decisions differs.

    Parameters
    ----------
    before, after : bool array
        Whether each decision was right; one trial or more.
    paired : bool
        Whether they are of the same trials, in the same order: then by McNemar's exact test,
        otherwise by Fisher's. Intervals are Newcombe's (method 10 of 1998, doi
        10.1002/(SICI)1097-0258(19980430)17:8<873::AID-SIM779>3.0.CO;2-I and 10 of
        10.1002/(SICI)1097-0258(19981130)17:22<2635::AID-SIM954>3.0.CO;2-C).
    """
    n, m = len(before), len(after)
    right_before, right_after = int(before.sum()), int(after.sum())
    p_before, p_after = right_before / n, right_after / m
    low_before, high_before = wilson_interval(right_before, n)
    low_after, high_after = wilson_interval(right_after, m)
    correlation = 0.0
    if paired:
        both = int(np.count_nonzero(before & after))
        lost, won = right_before - both, right_after - both
        none = n - both - lost - won
        correlation = _correlation(both, lost, won, none)
        p = float(stats.binomtest(won, won + lost).pvalue) if won + lost else 1.0
    else:
        table = np.array([[right_before, n - right_before], [right_after, m - right_after]])
        p = float(stats.fisher_exact(table).pvalue)
    change = p_after - p_before

    def distance(a: float, b: float) -> float:
        return float(np.sqrt(max(a**2 - 2 * correlation * a * b + b**2, 0.0)))

    return AccuracyChange(
        paired=paired,
        difference=change,
        low=change - distance(p_after - low_after, high_before - p_before),
        high=change + distance(high_after - p_after, p_before - low_before),
        p=p,
    )


def _correlation(both: int, lost: int, won: int, none: int) -> float:
    """Newcombe's phi of a table of pairs, with his correction for continuity."""
    margins = (both + lost) * (won + none) * (both + won) * (lost + none)
    if not margins:
        return 0.0
    product = float(both * none - lost * won)
    if product > 0:
        product = max(product - (both + lost + won + none) / 2, 0.0)
    return float(product / np.sqrt(float(margins)))


def false_discovery(p: Sequence[float]) -> list[float]:
    """Benjamini and Hochberg's adjusted p-values, in the order given.

    Benjamini & Hochberg 1995, doi 10.1111/j.2517-6161.1995.tb02031.x.
    """
    return stats.false_discovery_control(np.asarray(p)).tolist() if len(p) else []
