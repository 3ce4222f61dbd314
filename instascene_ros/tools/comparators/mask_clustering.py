"""MaskClustering (Yan et al., CVPR 2024): the offline view-consensus graph, on surfel centres instead of a scan.

It is the parent of InstaScene's association, with two refinements that InstaScene left out: points that lie in two
masks of one view are not counted, and a view counts as seeing a mask by 30 % of it or by 500 points.
"""

from dataclasses import replace

import numpy as np
from jaxtyping import Float32, Int64
from scipy import sparse

from instascene_ros.core.config import RefinementConfig
from instascene_ros.core.offline.coarse_objects import CoarseObjects
from instascene_ros.core.offline.feature_field import spatial_classes
from instascene_ros.core.offline.mask_clusters import MaskClusters
from instascene_ros.core.offline.traced_views import TracedViews
from instascene_ros.core.offline.verdicts import Verdicts

PAPER = RefinementConfig(max_unlabelled_share=0.7, min_consensus=0.9, min_visible_gaussians=500)


def mask_clustering(
    views: TracedViews, means_m: Float32[np.ndarray, "N 3"], colors: Float32[np.ndarray, "N 3"]
) -> Int64[np.ndarray, " N"]:
    """Instances of MaskClustering; a Gaussian in several belongs to the one whose masks weigh most on it."""
    views = without_boundary(replace(views, min_share=0.0))
    verdicts = Verdicts.of(views, PAPER)
    objects = CoarseObjects.of(views, verdicts, MaskClusters.of(verdicts, PAPER), means_m, PAPER)
    return spatial_classes(views, objects) + 1


def without_boundary(views: TracedViews) -> TracedViews:
    """The views without the Gaussians that lie in more than one mask there."""
    pairs = views.weights.tocoo()
    in_view = pairs.row.astype(np.int64) * views.num_views + views.mask_view[pairs.col]
    _, which, counts = np.unique(in_view, return_inverse=True, return_counts=True)
    alone = counts[which.reshape(-1)] == 1
    kept = sparse.csr_array((pairs.data[alone], (pairs.row[alone], pairs.col[alone])), shape=pairs.shape)
    kept.sort_indices()
    return replace(views, weights=kept)
