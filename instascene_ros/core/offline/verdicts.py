"""Which masks of other views hold a mask, and which masks cover several objects (method 1.3)."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Int64
from scipy import sparse

from instascene_ros.core.config import RefinementConfig
from instascene_ros.core.offline.traced_views import TracedViews


@dataclass(frozen=True)
class Verdicts:
    """What the F views say about each of M masks."""

    observers: Bool[np.ndarray, "M F"]  # views of which one mask holds the whole mask
    containers: sparse.csr_array  # [M M], 1 where the column's mask holds the row's
    undersegmented: Bool[np.ndarray, " M"]
    is_node: Bool[np.ndarray, " M"]  # large enough, and of one object

    @classmethod
    def of(cls, views: TracedViews, config: RefinementConfig) -> "Verdicts":
        """Judge every mask by every view; masks of fewer than `min_mask_gaussians` are left out altogether."""
        sizes = np.bincount(views.tracker.indices, minlength=views.num_masks)
        large = sizes >= config.min_mask_gaussians
        mask, view, labelled, held, holder = _largest_labels(views)
        visible = sizes[mask] - labelled <= config.max_unlabelled_share * sizes[mask]
        if config.min_visible_gaussians:
            visible |= labelled >= config.min_visible_gaussians
        visible &= large[mask]
        contained = visible & (held > config.min_containment * labelled)
        num_visible = np.bincount(mask[visible], minlength=views.num_masks)
        num_splits = np.bincount(mask[visible & ~contained], minlength=views.num_masks)
        under = large & (num_splits > config.max_split_share * num_visible)
        under |= large & (num_visible == 0)
        # What a mask of several objects says about others is void, and so is the view in which it says so.
        contained &= ~under[holder]
        observers = np.zeros((views.num_masks, views.num_views), bool)
        observers[mask[contained], view[contained]] = True
        ones = np.ones(int(contained.sum()), np.float32)
        shape = (views.num_masks, views.num_masks)
        containers = sparse.csr_array((ones, (mask[contained], holder[contained])), shape=shape)
        return cls(observers, containers, under, large & ~under)


def _largest_labels(
    views: TracedViews,
) -> tuple[
    Int64[np.ndarray, " C"],
    Int64[np.ndarray, " C"],
    Float32[np.ndarray, " C"],
    Float32[np.ndarray, " C"],
    Int64[np.ndarray, " C"],
]:
    """For each (mask, view) that share labelled Gaussians: how many, how many the largest label has, and its mask."""
    shared = sparse.csr_array(views.tracker.T @ views.label)  # [M M]
    shared.sort_indices()
    if shared.nnz == 0:
        none = np.zeros(0, np.int64)
        return none, none, none.astype(np.float32), none.astype(np.float32), none
    rows = np.repeat(np.arange(views.num_masks), np.diff(shared.indptr))
    columns = shared.indices.astype(np.int64)
    cells = rows * views.num_views + views.mask_view[columns]  # masks are numbered view by view: sorted
    order = np.lexsort((shared.data, cells))
    starts = np.nonzero(np.diff(cells[order], prepend=-1))[0]
    last = np.append(starts[1:], len(order)) - 1
    labelled = np.add.reduceat(shared.data[order], starts)
    best = order[last]
    return rows[best], views.mask_view[columns[best]].astype(np.int64), labelled, shared.data[best], columns[best]
