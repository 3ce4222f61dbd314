"""Images at another size from their nearest pixels, and where those lie."""

import numpy as np
from jaxtyping import Int64, Shaped


def sampled(image: Shaped[np.ndarray, "H W"], width: int, height: int) -> Shaped[np.ndarray, "height width"]:
    """The image at another size, every pixel from the nearest.

    Never averaged: a mean of depths across an edge is a point in mid-air, and one of labels is no label.
    """
    rows, columns = _taken(image.shape[0], height), _taken(image.shape[1], width)
    return image[rows[:, None], columns]


def beside(size: int, count: int) -> float:
    """How far those taken lie beside the middles of what they stand for, on average, in pixels of the `size`."""
    middles = (np.arange(count) + 0.5) * size / count - 0.5
    return float((_taken(size, count) - middles).mean())


def _taken(size: int, count: int) -> Int64[np.ndarray, " count"]:
    """The pixels of an axis that stand for `count` of them."""
    return ((np.arange(count) + 0.5) * size / count).astype(np.int64)
