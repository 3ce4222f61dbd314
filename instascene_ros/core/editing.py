"""What users change about instances: merge, remove, rename. Each edit happens whole or raises and changes nothing.

An edit outlives the frames that follow it: what was merged shares a bond that views cannot part, and of what was
removed no Gaussian, vote or count is left, so that its surface can only come back under a new id.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from instascene_ros.core.errors import InvalidEditError, UnknownInstanceError
from instascene_ros.core.gaussian_map import GaussianMap
from instascene_ros.core.instances import Instances
from instascene_ros.core.tracker import Tracker


def check_known(ids: Sequence[int], instances: Instances) -> None:
    """Raises UnknownInstanceError, which names those that exist, unless every id is published."""
    known = instances.ids.tolist()
    unknown = [i for i in ids if i not in known]
    if unknown:
        raise UnknownInstanceError(
            f"there is no instance {', '.join(map(str, unknown))} in the map; it has {known or 'none yet'}"
        )


def merge(tracker: Tracker, ids: Sequence[int]) -> tuple[int, ...]:
    """Make all of `ids` one instance under the first of them; returns the ids without repetition.

    Raises:
        InvalidEditError: fewer than two different instances.
    """
    distinct = tuple(dict.fromkeys(ids))
    if len(distinct) < 2:
        raise InvalidEditError(f"asked to merge {list(ids)}; expected at least two different instances")
    tracker.identities.join(distinct)
    for absorbed in distinct[1:]:
        tracker.absorb(distinct[0], absorbed)
    tracker.records[distinct[0]].edited = True
    return distinct


def remove(
    tracker: Tracker, ids: Sequence[int], labels: Int64[Tensor, " N"], gaussians: GaussianMap
) -> Bool[Tensor, " N"]:
    """Forget instances; returns the Gaussians that are theirs (`labels`), which have to leave the map."""
    tracker.forget({s for i in ids for s in tracker.identities.segments_of.get(i, ())}, gaussians)
    for instance in ids:
        tracker.records.pop(instance, None)
    return torch.isin(labels, torch.tensor(list(ids), dtype=labels.dtype, device=labels.device))


def rename(tracker: Tracker, instance: int, name: str) -> None:
    """Give an instance a name; '' takes it away."""
    record = tracker.records[instance]
    record.name, record.edited = name, record.edited or bool(name)
