"""Average linkage between segments, on dense matrices of the few that one view touches."""

from typing import no_type_check

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numba import njit

NOT_LINKED = -1.0  # consensus of two groups that no view has observed together


def linked(
    counts: Float64[np.ndarray, "A A 2"], known: Bool[np.ndarray, "A A"], together: Bool[np.ndarray, "A A"],
    bond: Int64[np.ndarray, " A"], prior_views: float, least: float,
) -> Int64[np.ndarray, " A"]:  # fmt: skip
    """The smallest index of each index's group: those of the strongest consensus become one, until it is below `least`.

    `counts` are the observers and supporters of each pair that is `known`; `together` says which pairs are one object
    now; `bond` is the smallest index that each stays with whatever the views say. Consensus is the share of supporting
    views, after `prior_views` that support things as they are. The matrices are used up.
    """
    together &= known
    return _linked(counts, known, together, bond, float(prior_views), float(least))


@njit(cache=True)
@no_type_check
def _linked(counts, known, together, bond, prior_views, least):
    """Each group remembers its best partner, and looks for it again only when it may be the next to join."""
    n = len(bond)
    group_of, ratio, best = np.arange(n), np.full((n, n), NOT_LINKED), np.zeros(n, np.int64)
    most, stale = np.full(n, NOT_LINKED), np.zeros(n, np.bool_)
    for i in range(n):
        for j in range(n):
            ratio[i, j] = _consensus(i, j, counts, known, together, prior_views)
        best[i] = ratio[i].argmax()
        most[i] = ratio[i, best[i]]
    for i in range(n):
        if bond[i] != i:
            _join(bond[i], i, group_of, counts, known, together, ratio, best, most, stale, prior_views)
    while n:
        row = _strongest(ratio, best, most, stale)
        if most[row] < least:
            break
        keep, drop = min(row, best[row]), max(row, best[row])
        _join(keep, drop, group_of, counts, known, together, ratio, best, most, stale, prior_views)
    return group_of


@njit(cache=True)
@no_type_check
def _strongest(ratio, best, most, stale):
    row = most.argmax()
    while stale[row]:
        best[row], stale[row] = ratio[row].argmax(), False
        most[row] = ratio[row, best[row]]
        row = most.argmax()
    return row


@njit(cache=True)
@no_type_check
def _consensus(i, j, counts, known, together, prior_views):
    if not known[i, j]:
        return NOT_LINKED
    return (counts[i, j, 1] + prior_views * together[i, j]) / max(counts[i, j, 0] + prior_views, 1e-9)


@njit(cache=True)
@no_type_check
def _join(keep, drop, group_of, counts, known, together, ratio, best, most, stale, prior_views):
    """Fold group `drop` into group `keep`, in linear time: where a best partner is gone, `most` stays as a bound."""
    n = len(best)
    for j in range(n):
        group_of[j] = keep if group_of[j] == drop else group_of[j]
        counts[keep, j] += counts[drop, j]
        counts[j, keep] = counts[keep, j]
        known[keep, j] = known[j, keep] = j != keep and j != drop and (known[keep, j] or known[drop, j])
        together[keep, j] = together[j, keep] = together[keep, j] or together[drop, j]
        known[drop, j] = known[j, drop] = False
        ratio[drop, j] = ratio[j, drop] = NOT_LINKED
    for j in range(n):
        ratio[keep, j] = ratio[j, keep] = _consensus(keep, j, counts, known, together, prior_views)
    for i in range(n):
        stale[i] = stale[i] or best[i] == keep or best[i] == drop
        if ratio[i, keep] > most[i]:
            best[i], most[i], stale[i] = keep, ratio[i, keep], False
    for i in (keep, drop):
        best[i], stale[i] = ratio[i].argmax(), False
        most[i] = ratio[i, best[i]]
