"""What is remembered of one instance besides its Gaussians, and what follows from it: state and confidence."""

from dataclasses import dataclass

from instascene_ros.core.config import TrackingConfig
from instascene_ros.core.instances import InstanceState

WHOLE_IOU = 0.5  # a mask and an instance that overlap more than this show the same thing


@dataclass
class InstanceRecord:
    """Sums over the views of one instance; all that association saves of it."""

    first_seen_ns: int
    last_seen_ns: int
    num_views: int = 0
    num_whole_views: int = 0  # in which one mask showed just it, not cut off by the image border
    wholeness: float = 0.0  # sum over views of the IoU between the instance and its best mask
    lost: float = 0.0  # Gaussians that views looked through since it was last seen whole
    name: str = ""  # given by a user
    edited: bool = False  # a user named or merged it, so it is an object, whatever its size

    def see(self, stamp_ns: int, iou: float, cut_off: bool) -> None:
        """One more view: how well its best mask fits, and whether the image border cuts that mask off."""
        whole = iou > WHOLE_IOU and not cut_off
        self.last_seen_ns = stamp_ns
        self.num_views += 1
        self.num_whole_views += whole
        self.wholeness += iou
        if iou > WHOLE_IOU:
            self.lost = 0.0

    def absorb(self, other: "InstanceRecord") -> None:
        """Take over what is remembered of an instance that was merged into this one."""
        self.first_seen_ns = min(self.first_seen_ns, other.first_seen_ns)
        self.last_seen_ns = max(self.last_seen_ns, other.last_seen_ns)
        self.name = self.name or other.name
        self.edited |= other.edited

    def state(self, num_left: int, config: TrackingConfig) -> InstanceState:
        """TENTATIVE until enough views saw it as a whole; MISSING while most of it has been looked through since then.

        What the image border always cuts off may be a piece of floor or wall; what masks rarely agree on, a fragment.
        """
        least = max(config.confirm_views, config.min_whole_share * self.num_views)
        if self.num_whole_views < least and not self.edited:
            return InstanceState.TENTATIVE
        if self.lost > config.missing_share * (self.lost + num_left):
            return InstanceState.MISSING
        return InstanceState.CONFIRMED

    @property
    def score(self) -> float:
        """Mean IoU with the best mask of each view, pulled to zero while the views are few."""
        return self.wholeness / (self.num_views + 1)
