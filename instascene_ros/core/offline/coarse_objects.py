"""From clusters of masks to sets of Gaussians: split, filter, and drop duplicates (method 1.5)."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Int32, Int64
from scipy import sparse
from sklearn.cluster import DBSCAN

from instascene_ros.core.config import RefinementConfig
from instascene_ros.core.offline.mask_clusters import MaskClusters
from instascene_ros.core.offline.traced_views import TracedViews
from instascene_ros.core.offline.verdicts import Verdicts

CELLS_PER_RADIUS = 10  # points are thinned to cells of a tenth of the radius before they are clustered


@dataclass(frozen=True)
class CoarseObjects:
    """K objects as sets of Gaussians, which may overlap, and the masks that show each."""

    members: Bool[np.ndarray, "N K"]
    object_of_mask: Int32[np.ndarray, " M"]  # 1..K, 0 = none
    trusted: Bool[np.ndarray, " M"]  # masks of one object; the others cover several, and their pixels say nothing

    @property
    def num_objects(self) -> int:
        return self.members.shape[1]

    @classmethod
    def of(
        cls,
        views: TracedViews,
        verdicts: Verdicts,
        clusters: MaskClusters,
        means_m: Float32[np.ndarray, "N 3"],
        config: RefinementConfig,
    ) -> "CoarseObjects":
        """Post-process the clusters, then give masks of several objects that turn out to show one a second chance."""
        found: list[tuple[np.ndarray, np.ndarray]] = []  # (Gaussians, masks)
        for cluster in np.nonzero(np.bincount(clusters.cluster_of + 1)[1:] >= 2)[0].tolist():
            found += _parts(views, clusters.masks(cluster), clusters.observers[cluster], means_m, config)
        found = _without_duplicates(found, means_m, config.max_shared_share)
        members = np.zeros((views.num_gaussians, len(found)), bool)
        object_of_mask = np.zeros(views.num_masks, np.int32)
        for index, (gaussians, masks) in enumerate(found):
            members[gaussians, index] = True
            object_of_mask[masks] = index + 1
        return _remedied(cls(members, object_of_mask, ~verdicts.undersegmented), views, config)


def _parts(
    views: TracedViews,
    masks: Int64[np.ndarray, " m"],
    observers: Bool[np.ndarray, " F"],
    means_m: Float32[np.ndarray, "N 3"],
    config: RefinementConfig,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Split a cluster where it falls apart in space, keep the Gaussians its views agree on, share out its masks."""
    held = views.tracker[:, masks]  # [N m]
    gaussians = np.nonzero(np.diff(held.indptr))[0]
    held = held[gaussians]
    detected = _views_that_hold(held, views.mask_view[masks])
    observed = views.visible[gaussians][:, np.nonzero(observers)[0]].sum(axis=1)
    keep = detected > config.min_detected_share * np.maximum(observed, 1)
    part_of = dense_parts(means_m[gaussians], config)
    num_parts = int(part_of.max(initial=-1)) + 1
    chosen = sparse.csr_array(
        (np.ones(int(keep.sum()), np.float32), (part_of[keep], np.nonzero(keep)[0])), shape=(num_parts, len(gaussians))
    )
    overlap = (chosen @ held).toarray()  # [parts m]
    home = np.where(overlap.max(axis=0, initial=0) > 0, overlap.argmax(axis=0), -1)
    found = [(gaussians[keep & (part_of == part)], masks[home == part]) for part in range(num_parts)]
    return [(rows, own) for rows, own in found if len(own) >= 2 and len(rows)]


def _views_that_hold(held: sparse.csr_array, view_of: Int32[np.ndarray, " m"]) -> Int64[np.ndarray, " n"]:
    """Number of distinct views in which any of the masks holds each Gaussian."""
    rows = np.repeat(np.arange(held.shape[0]), np.diff(held.indptr))
    in_view = np.unique(np.stack([rows, view_of[held.indices]]), axis=1)[0]
    return np.bincount(in_view, minlength=held.shape[0])


def dense_parts(points_m: Float32[np.ndarray, "n 3"], config: RefinementConfig) -> Int64[np.ndarray, " n"]:
    """DBSCAN part of each point, from 0; noise is a part of its own, the last."""
    cell_m = config.part_radius_m / CELLS_PER_RADIUS
    cells = np.floor(points_m / cell_m).astype(np.int64)
    _, first, cell_of, counts = np.unique(cells, axis=0, return_index=True, return_inverse=True, return_counts=True)
    clustering = DBSCAN(eps=config.part_radius_m, min_samples=config.min_part_neighbours)
    labels = clustering.fit_predict(points_m[first], sample_weight=counts)
    return np.where(labels >= 0, labels, labels.max() + 1)[cell_of.reshape(-1)].astype(np.int64)


def _without_duplicates(
    found: list[tuple[np.ndarray, np.ndarray]], means_m: Float32[np.ndarray, "N 3"], max_shared: float
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Of two objects whose boxes touch, drop the one of which the other has more than `max_shared`."""
    boxes = [(means_m[rows].min(axis=0), means_m[rows].max(axis=0)) for rows, _ in found]
    dropped: set[int] = set()
    for i in range(len(found)):
        for j in range(i + 1, len(found)):
            apart = (boxes[i][0] > boxes[j][1]).any() or (boxes[j][0] > boxes[i][1]).any()
            if i in dropped or j in dropped or apart:
                continue
            shared = len(np.intersect1d(found[i][0], found[j][0], assume_unique=True))
            if shared > max_shared * len(found[i][0]):
                dropped.add(i)
            elif shared > max_shared * len(found[j][0]):
                dropped.add(j)
    return [item for index, item in enumerate(found) if index not in dropped]


def _remedied(objects: CoarseObjects, views: TracedViews, config: RefinementConfig) -> CoarseObjects:
    """A mask judged to cover several objects joins the object that has most of it, if that is nearly all."""
    suspects = np.nonzero(~objects.trusted)[0]
    if len(suspects) == 0 or objects.num_objects == 0:
        return objects
    inside = views.tracker[:, suspects].T @ objects.members.astype(np.float32)  # [u K]
    sizes = views.tracker[:, suspects].sum(axis=0)
    best = inside.argmax(axis=1)
    whole = inside.max(axis=1) > config.min_remedy_share * sizes
    object_of_mask, trusted = objects.object_of_mask.copy(), objects.trusted.copy()
    object_of_mask[suspects[whole]] = best[whole] + 1
    trusted[suspects[whole]] = True
    return CoarseObjects(objects.members, object_of_mask, trusted)
