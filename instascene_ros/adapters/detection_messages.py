"""InstanceArray -> vision_msgs. The message classes are handed in: vision_msgs may not be there."""

from types import ModuleType
from typing import Any

from std_msgs.msg import Header

from instascene_ros.msg import Instance, InstanceArray


class ClassNumbers:
    """A number for every class name, in the order in which they come; 0 = no label."""

    def __init__(self, unlabelled: str) -> None:
        self._numbers = {unlabelled: 0}
        self._unlabelled = unlabelled

    def __len__(self) -> int:
        return len(self._numbers)

    def hypotheses(self, instance: Instance) -> list[tuple[str, float]]:
        """(class number as text, score), best first."""
        guesses = [(label.class_id, label.score) for label in instance.labels]
        guesses = guesses or [(self._unlabelled, float(instance.confidence))]
        return [(str(self._numbers.setdefault(name, len(self._numbers))), score) for name, score in guesses]

    def label_info(self, msg: ModuleType, header: Header, min_confidence: float) -> Any:
        classes = [msg.VisionClass(class_id=number, class_name=name) for name, number in self._numbers.items()]
        return msg.LabelInfo(header=header, class_map=classes, threshold=min_confidence)


def detections_message(msg: ModuleType, array: InstanceArray, numbers: ClassNumbers, min_confidence: float) -> Any:
    """The confirmed instances; every header is the array's, and `id` is the instance id."""
    trusted = [
        one for one in array.instances if one.state == Instance.STATE_CONFIRMED and one.confidence >= min_confidence
    ]
    return msg.Detection3DArray(
        header=array.header, detections=[_detection(msg, one, array.header, numbers) for one in trusted]
    )


def _detection(msg: ModuleType, instance: Instance, header: Header, numbers: ClassNumbers) -> Any:
    found = msg.Detection3D(header=header, id=str(instance.id))
    found.bbox.center, found.bbox.size = instance.bbox.center, instance.bbox.size
    for class_id, score in numbers.hypotheses(instance):
        guess = msg.ObjectHypothesisWithPose()
        guess.hypothesis.class_id, guess.hypothesis.score = class_id, score
        guess.pose.pose = instance.bbox.center
        found.results.append(guess)
    return found
