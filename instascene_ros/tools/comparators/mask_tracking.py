"""What a 2D video tracker gives: masks followed from frame to frame by their overlap in the image, then lifted.

No depth and no map take part in the tracking. A mask takes over the track whose latest mask it overlaps most;
a track that is lost can be found again for some frames where it was last seen.
"""

import numpy as np
import torch
from jaxtyping import Float32, Int64
from scipy.optimize import linear_sum_assignment

from instascene_ros.core.offline.traced_views import TracedViews
from instascene_ros.tools.comparators.online_any_seg import majority

MIN_IOU = 0.3
MEMORY_FRAMES = 10
MIN_MASKS = 5  # shorter tracks are noise


def mask_tracking(
    views: TracedViews, means_m: Float32[np.ndarray, "N 3"], colors: Float32[np.ndarray, "N 3"]
) -> Int64[np.ndarray, " N"]:
    """Tracks of enough masks; a Gaussian goes to the one with most of its mask area."""
    track_of = np.zeros(views.num_masks, np.int64)
    latest: dict[int, tuple[int, np.ndarray]] = {}  # track -> (view, pixels)
    next_track = 1
    for view in range(views.num_views):
        masks = np.nonzero(views.mask_view == view)[0]
        image = _image(views, view)
        pixels = [image == mask + 1 for mask in masks]
        live = [track for track, (seen, _) in latest.items() if view - seen <= MEMORY_FRAMES]
        iou = np.array([[_iou(own, latest[track][1]) for track in live] for own in pixels]).reshape(
            len(masks), len(live)
        )
        for row, column in zip(*linear_sum_assignment(-iou), strict=True):
            if iou[row, column] >= MIN_IOU:
                track_of[masks[row]] = live[column]
        for mask, own in zip(masks, pixels, strict=True):
            if track_of[mask] == 0:
                track_of[mask], next_track = next_track, next_track + 1
            latest[int(track_of[mask])] = (view, own)
    long_enough = np.bincount(track_of, minlength=next_track) >= MIN_MASKS
    return majority(views, np.where(long_enough[track_of], track_of, 0))


def _image(views: TracedViews, view: int) -> Int64[np.ndarray, " pixels"]:
    first, last = views.contributors.first_pixel[view : view + 2]
    return views.mask_of_pixel[int(first) : int(last)].to(torch.int64).cpu().numpy()


def _iou(a: np.ndarray, b: np.ndarray) -> float:
    if a.shape != b.shape:
        return 0.0
    either = np.count_nonzero(a | b)
    return np.count_nonzero(a & b) / either if either else 0.0
