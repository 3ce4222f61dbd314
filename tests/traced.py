"""Traced views made by hand: which Gaussians each mask of each view holds, without any rendering."""

from collections.abc import Sequence

import numpy as np
import torch
from scipy import sparse

from instascene_ros.core.offline.traced_views import Contributors, TracedViews

Mask = Sequence[int]  # Gaussians
PIXELS_EACH = 4  # of every Gaussian in every view: pixel k * 4 .. k * 4 + 3 shows Gaussian k alone


def traced(num_gaussians: int, views: Sequence[Sequence[Mask]], visible: Sequence[Mask] | None = None) -> TracedViews:
    """Views as lists of masks. `visible`: what each view sees at all, by default every Gaussian."""
    rows, columns, mask_view = [], [], []
    pixels = np.zeros((len(views), num_gaussians, PIXELS_EACH), np.int32)
    for view, masks in enumerate(views):
        for mask in masks:
            rows += list(mask)
            columns += [len(mask_view)] * len(mask)
            mask_view.append(view)
            pixels[view, list(mask)] = len(mask_view)
    seen = np.zeros((num_gaussians, len(views)), np.float32)
    for view in range(len(views)):
        seen[list(visible[view]) if visible else slice(None), view] = PIXELS_EACH
    weights = np.full(len(rows), float(PIXELS_EACH), np.float32)
    shape = (num_gaussians, len(mask_view))
    return TracedViews(
        np.arange(len(views)), np.array(mask_view, np.int32), np.zeros(len(mask_view), bool),
        sparse.csr_array((weights, (rows, columns)), shape=shape), sparse.csr_array(seen),
        contributors_of(seen.T), torch.from_numpy(pixels.reshape(-1)),
    )  # fmt: skip


def contributors_of(seen: np.ndarray) -> Contributors:
    """One fully opaque Gaussian behind each of its pixels, where `seen` [views N] is positive."""
    num_views, num_gaussians = seen.shape
    shown = np.repeat(seen > 0, PIXELS_EACH, axis=1).reshape(-1)
    gaussian = np.tile(np.repeat(np.arange(num_gaussians), PIXELS_EACH), num_views)
    return Contributors(
        torch.from_numpy(np.concatenate([[0], np.cumsum(shown)])), torch.from_numpy(gaussian[shown].astype(np.int32)),
        torch.ones(int(shown.sum())), np.arange(num_views + 1) * num_gaussians * PIXELS_EACH, 1,
    )  # fmt: skip
