"""Label votes on a GPU: the same functions as `cpu_votes`. Imported only where tensors live on one."""

from instascene_ros.core.rendering.spread_kernels import spread
from instascene_ros.core.rendering.support_kernels import strike
from instascene_ros.core.rendering.vote_kernels import cast, choices, labels, sizes, winners

__all__ = ["cast", "choices", "labels", "sizes", "spread", "strike", "winners"]
