"""OnlineAnySeg (Tang et al., CVPR 2025), reduced to geometry: masks merged online by their overlap in voxels.

Masks become sets of voxels, kept as sparse rows (the paper: a hash from voxel to masks) so that overlaps cost what
the voxels cost. Two masks are alike by their overlap where both could be seen, and by how alike they are to the other
masks; the paper adds features of CLIP and of the point cloud, which need weights and are left out. Every few frames
alike masks are merged.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int64
from scipy import sparse

from instascene_ros.core.offline.traced_views import TracedViews

VOXEL_M = 0.01  # the paper: 0.025 for rooms; these are table tops
MERGE_EVERY = 10  # views
MIN_ALIKE = 0.5  # mean of overlap and agreement about other masks
MIN_MASKS = 3  # of a whole sequence; what fewer masks show is noise


@dataclass
class _Bank:
    """Merged masks so far."""

    voxels: sparse.csr_array  # [K X] where each is
    visible: sparse.csr_array  # [K X] what the views of its masks see
    count: Int64[np.ndarray, " K"]  # masks in each
    merged_into: Int64[np.ndarray, " M"]  # row of each mask, -1 = not seen yet

    def add(self, voxels: sparse.csr_array, visible: sparse.csr_array, masks: Int64[np.ndarray, " m"]) -> None:
        self.merged_into[masks] = len(self.count) + np.arange(len(masks))
        self.count = np.concatenate([self.count, np.ones(len(masks), np.int64)])
        self.voxels = sparse.csr_array(sparse.vstack([self.voxels, voxels]))
        self.visible = sparse.csr_array(sparse.vstack([self.visible, visible]))

    def merge(self) -> bool:
        """Merge all pairs that are most alike to each other; False when none is alike enough."""
        alike = _alike(self.voxels, self.visible)
        best = alike.argmax(axis=1)
        rows = np.arange(len(best))
        mutual = (best[best] == rows) & (alike[rows, best] >= MIN_ALIKE) & (best < rows)
        if not mutual.any():
            return False
        into = np.where(mutual, best, rows)
        _, into = np.unique(into, return_inverse=True)
        joined = sparse.csr_array(
            (np.ones(len(into), np.float32), (into, rows)), shape=(int(into.max()) + 1, len(rows))
        )
        self.voxels, self.visible = _flags(joined @ self.voxels), _flags(joined @ self.visible)
        self.count = np.bincount(into, self.count).astype(np.int64)
        self.merged_into = np.where(self.merged_into >= 0, into[self.merged_into], -1)
        return True


def online_any_seg_lite(
    views: TracedViews, means_m: Float32[np.ndarray, "N 3"], colors: Float32[np.ndarray, "N 3"]
) -> Int64[np.ndarray, " N"]:
    """Merged masks that enough masks support; a Gaussian goes to the one with most of its mask area."""
    voxel_of = np.unique(np.floor(means_m / VOXEL_M).astype(np.int64), axis=0, return_inverse=True)[1].reshape(-1)
    shape = (int(voxel_of.max(initial=-1)) + 1, len(voxel_of))
    to_voxels = sparse.csr_array(
        (np.ones(len(voxel_of), np.float32), (voxel_of, np.arange(len(voxel_of)))), shape=shape
    )
    held = _flags(sparse.csr_array((to_voxels @ views.tracker).T))  # [M X]
    seen = _flags(sparse.csr_array((to_voxels @ views.visible).T))  # [F X]
    nothing = sparse.csr_array((0, shape[0]), dtype=np.float32)
    bank = _Bank(nothing, nothing, np.zeros(0, np.int64), np.full(views.num_masks, -1))
    for view in range(views.num_views):
        masks = np.nonzero((views.mask_view == view) & (np.diff(held.indptr) > 0))[0]
        bank.add(held[masks], seen[np.full(len(masks), view)], masks)
        if len(bank.count) and (view % MERGE_EVERY == MERGE_EVERY - 1 or view == views.num_views - 1):
            while bank.merge():
                pass
    kept = np.nonzero(bank.count >= MIN_MASKS)[0]
    number = np.zeros(len(bank.count) + 1, np.int64)  # the last entry is that of masks never seen
    number[kept] = np.arange(len(kept)) + 1
    return majority(views, number[bank.merged_into])


def _alike(voxels: sparse.csr_array, visible: sparse.csr_array) -> Float32[np.ndarray, "K K"]:
    """Overlap of each pair over what both could be seen in, averaged with the cosine of their overlaps with all."""
    shared = (voxels @ voxels.T).toarray()
    in_sight = (voxels @ visible.T).toarray()  # of row, what the column's views see
    overlap = shared / np.maximum(in_sight + in_sight.T - shared, 1)
    unit = overlap / np.maximum(np.linalg.norm(overlap, axis=1, keepdims=True), 1e-9)
    alike = np.where(shared > 0, (overlap + unit @ unit.T) / 2, 0)
    np.fill_diagonal(alike, 0)
    return alike.astype(np.float32)


def _flags(matrix: sparse.csr_array) -> sparse.csr_array:
    return sparse.csr_array((np.ones_like(matrix.data), matrix.indices, matrix.indptr), shape=matrix.shape)


def majority(views: TracedViews, set_of_mask: Int64[np.ndarray, " M"]) -> Int64[np.ndarray, " N"]:
    """The set (1..K) whose masks have most of each Gaussian's area; 0 = none."""
    shows = np.zeros((views.num_masks, int(set_of_mask.max(initial=0)) + 1), np.float32)
    shows[np.arange(views.num_masks), set_of_mask] = 1
    votes = views.weights @ shows[:, 1:]
    return np.where(votes.max(axis=1, initial=0) > 0, votes.argmax(axis=1) + 1 if votes.size else 0, 0)
