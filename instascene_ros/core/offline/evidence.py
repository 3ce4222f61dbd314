"""What the masks of all views say for a set of Gaussians being one whole object, and for each Gaussian being in it."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Int32, Int64
from scipy import sparse

from instascene_ros.core.offline.traced_views import TracedViews

OWN_IOU = 0.5  # a mask and an object that overlap more than this show the same thing
PART_SHARE = 0.8  # a mask that lies inside an object by more than this shows a part of it
HELD_SHARE = 0.5  # a mask holds an object when it covers more than this share of it
MIN_OTHER_SHARE = 0.15  # a mask shows two objects when it holds both, and each fills more than this share of it


@dataclass(frozen=True)
class Evidence:
    """For K sets of Gaussians, their best mask in each of F views. Areas are sums of blend weight, px."""

    inside_px: Float32[np.ndarray, "K M"]  # that a set shares with each mask
    visible_px: Float32[np.ndarray, "K F"]  # of a set in each view, inside masks or not
    iou: Float32[np.ndarray, "K M"]  # of a set with each mask, in the mask's view
    best_iou: Float32[np.ndarray, "K F"]  # 0 in views without masks
    best_mask: Int64[np.ndarray, "K F"]  # the mask of that IoU; any where it is 0
    has_masks: Bool[np.ndarray, " F"]

    @classmethod
    def of(cls, views: TracedViews, labels: Int64[np.ndarray, " N"], num_sets: int) -> "Evidence":
        """Evidence for the sets 1..K of `labels` (0 = none)."""
        rows = np.nonzero(labels)[0]
        members = sparse.csr_array(
            (np.ones(len(rows), np.float32), (labels[rows] - 1, rows)), shape=(num_sets, views.num_gaussians)
        )
        inside = (members @ views.weights).toarray()
        visible = (members @ views.seen).toarray()
        area = np.asarray(views.weights.sum(axis=0))
        iou = inside / np.maximum(visible[:, views.mask_view] + area - inside, 1e-9)
        best, best_mask = np.zeros_like(visible), np.zeros(visible.shape, np.int64)
        first = np.searchsorted(views.mask_view, np.arange(views.num_views + 1))  # masks are numbered view by view
        for view in np.nonzero(np.diff(first))[0]:
            own = iou[:, first[view] : first[view + 1]]
            best[:, view], best_mask[:, view] = own.max(axis=1), first[view] + own.argmax(axis=1)
        return cls(inside, visible, iou.astype(np.float32), best, best_mask, np.diff(first) > 0)

    def in_view(self, min_visible_px: float) -> Bool[np.ndarray, "K F"]:
        """Views that have masks, and in which enough of a set shows."""
        return (self.visible_px >= min_visible_px) & self.has_masks

    def wholeness(self, min_visible_px: float) -> Float32[np.ndarray, " K"]:
        """Mean IoU with the best mask of each view, pulled to zero while the views are few."""
        seen = self.in_view(min_visible_px)
        return ((self.best_iou * seen).sum(axis=1) / (seen.sum(axis=1) + 1)).astype(np.float32)

    def set_of_mask(self, views: TracedViews) -> Int32[np.ndarray, " M"]:
        """The set (1..K) that each mask shows, whole or in part; 0 = none, or several."""
        if len(self.iou) == 0:
            return np.zeros(views.num_masks, np.int32)
        area = np.asarray(views.weights.sum(axis=0))
        best = self.inside_px.argmax(axis=0)
        column = np.arange(views.num_masks)
        shows = (self.iou[best, column] > OWN_IOU) | (self.inside_px[best, column] > PART_SHARE * area)
        held = self.inside_px > HELD_SHARE * self.visible_px[:, views.mask_view]
        several = (held & (self.inside_px > MIN_OTHER_SHARE * area)).sum(axis=0) > 1
        return np.where(shows & ~several & (area > 0), best + 1, 0).astype(np.int32)


def voted(views: TracedViews, labels: Int64[np.ndarray, " N"]) -> Int64[np.ndarray, " N"]:
    """The sets 1..K with their borders decided anew, by the area that masks of each set share with a Gaussian.

    The largest sum is the best labelling of Gaussians given the labels of pixels (FlashSplat, ECCV 2024). Gaussians
    that no mask of any set shows stay as they are.
    """
    num_sets = int(labels.max(initial=0))
    set_of_mask = Evidence.of(views, labels, num_sets).set_of_mask(views)
    masks = np.nonzero(set_of_mask)[0]
    ones = np.ones(len(masks), np.float32)
    shows = sparse.csr_array((ones, (masks, set_of_mask[masks] - 1)), shape=(views.num_masks, max(num_sets, 1)))
    votes = (views.weights @ shows).toarray()  # [N K]
    return np.where(votes.max(axis=1, initial=0) > 0, votes.argmax(axis=1) + 1, labels)
