"""Other systems' ways from masks to instances, written anew from their papers, on the same traced masks as ours.

They are for comparison in `instascene bench --instances` alone. Each takes `TracedViews`, the Gaussians' centres and
their colours (0..1), and gives an instance (1..K, 0 = none) to every Gaussian.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float32, Int64

from instascene_ros.core.offline.traced_views import TracedViews
from instascene_ros.tools.comparators.appearance import appearance
from instascene_ros.tools.comparators.mask_clustering import mask_clustering
from instascene_ros.tools.comparators.mask_tracking import mask_tracking
from instascene_ros.tools.comparators.online_any_seg import online_any_seg_lite

Comparator = Callable[[TracedViews, Float32[np.ndarray, "N 3"], Float32[np.ndarray, "N 3"]], Int64[np.ndarray, " N"]]

COMPARATORS: dict[str, Comparator] = {
    "MaskClustering (re-implemented)": mask_clustering,
    "OnlineAnySeg-lite (re-implemented)": online_any_seg_lite,
    "2D mask tracking": mask_tracking,
    "appearance (re-implemented)": appearance,
}
