"""One view of the segments."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64
from torch import Tensor

from instascene_ros.core.gaussian_map import GaussianMap
from instascene_ros.core.segments import MaskTrace, Overlap
from instascene_ros.core.upload import uploaded
from instascene_ros.core.votes import FAINT, winning_segments


@dataclass(frozen=True)
class SegmentView:
    """Which segments the Gaussians in view belong to, and what the view's masks share with each."""

    winner_of: Int64[Tensor, " V"]  # segment of each Gaussian in view
    column_of: Int64[Tensor, " V"]  # its column of the overlap
    overlap: Overlap

    @classmethod
    def at(
        cls, traced: MaskTrace, segments: Int64[np.ndarray, " S"], num_segments: int, gaussians: GaussianMap
    ) -> "SegmentView":
        """`segments` are all there are, after 0 = none, and below `num_segments`."""
        winner_of, votes = winning_segments(gaussians, traced.gaussians, FAINT)
        column_of = uploaded(table_of(segments, num_segments), winner_of.device)[winner_of]
        return cls(winner_of, column_of, Overlap.of(traced, segments, column_of, votes))


def table_of(labels: Int64[np.ndarray, " S"], size: int) -> Int64[np.ndarray, " L"]:
    """Column of every label below `size`; those that are not listed fall into column 0."""
    table = np.zeros(size, np.int64)
    table[labels] = np.arange(len(labels))
    return table
