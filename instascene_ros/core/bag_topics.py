"""Which topics of a bag are the camera: by what the caller says, then by type and name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

from instascene_ros.core.errors import InvalidSceneError

IMAGE, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
INFO, POSE, ODOMETRY = "sensor_msgs/msg/CameraInfo", "geometry_msgs/msg/PoseStamped", "nav_msgs/msg/Odometry"
TRANSFORMS = "tf2_msgs/msg/TFMessage"
# Words in a topic's name, the best first; a topic with a word of the last list is something else.
COLOUR_WORDS = ("color/image", "rgb/image", "image_raw", "image_rect_color", "image_color", "rgb", "color", "image")
DEPTH_WORDS = ("aligned_depth", "depth_registered", "depth_to_rgb", "depth/image", "depth")
NOT_COLOUR = ("depth", "mask", "label", "ignore", "infra", "debug", "left", "right", "mono", "confidence", "disparity")
NOT_DEPTH = ("mask", "label", "ignore", "infra", "debug", "camera_info", "confidence")
NOT_COLOUR_BUT = ("left", "right", "mono")  # cameras that have nothing else


@dataclass(frozen=True)
class BagTopics:
    """The streams of one camera; '' = not there."""

    color: str = ""
    depth: str = ""
    info: str = ""
    pose: str = ""  # PoseStamped of the optical frame, Odometry, or a TF topic
    masks: str = ""
    frame: str = ""  # with TF: the frame to map in


def parse_topics(text: str) -> BagTopics:
    """`color=/a,depth=/b,info=/c,pose=/d,masks=/e,frame=odom`; any of them may be left out.

    Raises:
        InvalidSceneError: another form, naming the keys.
    """
    keys = [f.name for f in fields(BagTopics)]
    given: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        key, _, value = part.partition("=")
        if key not in keys or not value:
            raise InvalidSceneError(f"topics {part!r}; expected key=name joined by commas, with keys {', '.join(keys)}")
        given[key] = value
    return BagTopics(**given)


def choose_topics(types: Mapping[str, str], given: BagTopics) -> BagTopics:
    """Fill what is not given from the types and names of a bag's topics.

    Raises:
        InvalidSceneError: a stream that is missing or that several topics could be; the message lists the topics.
    """
    for name in (given.color, given.depth, given.info, given.pose, given.masks):
        if name and name not in types:
            raise InvalidSceneError(f"the bag has no messages of {name}; {_listed(types)}")
    images = [topic for topic, kind in types.items() if kind in (IMAGE, COMPRESSED)]
    color = given.color or _best(images, COLOUR_WORDS, NOT_COLOUR) or _best(images, COLOUR_WORDS, _rest_of_colour())
    depth = given.depth or _best(images, DEPTH_WORDS, NOT_DEPTH)
    for stream, topic in (("colour", color), ("depth", depth)):
        if not topic:
            raise InvalidSceneError(f"no topic looks like {stream} images: name it in topics; {_listed(types)}")
    info = given.info or _info_of(color, types)
    pose = given.pose or _pose_of(color, types)
    masks = given.masks or next((topic for topic in images if topic.endswith("/masks/image")), "")
    return replace(given, color=color, depth=depth, info=info, pose=pose, masks=masks)


def _rest_of_colour() -> tuple[str, ...]:
    return tuple(word for word in NOT_COLOUR if word not in NOT_COLOUR_BUT)


def _best(topics: Sequence[str], words: Sequence[str], unwanted: Sequence[str]) -> str:
    """The topic with the earliest of the words; raw before compressed, short before long."""
    for word in words:
        fitting = [topic for topic in topics if word in topic and not any(other in topic for other in unwanted)]
        if fitting:
            return min(fitting, key=lambda topic: ("compressed" in topic, len(topic), topic))
    return ""


def _info_of(color: str, types: Mapping[str, str]) -> str:
    """The camera_info beside the colour images: the one with the longest common beginning."""
    infos = [topic for topic, kind in types.items() if kind == INFO]
    if not infos:
        raise InvalidSceneError(f"no topic has the intrinsics (CameraInfo); {_listed(types)}")
    return max(infos, key=lambda topic: (_common(topic, color), -len(topic)))


def _common(a: str, b: str) -> int:
    """Parts of two names that are the same, from the beginning."""
    pairs = list(zip(a.split("/"), b.split("/"), strict=False))
    return next((i for i, (one, other) in enumerate(pairs) if one != other), len(pairs))


def _pose_of(color: str, types: Mapping[str, str]) -> str:
    """A pose topic of this camera; otherwise the only one, the only odometry, or /tf."""
    for kind in (POSE, ODOMETRY, TRANSFORMS):
        found = [topic for topic, known in types.items() if known == kind and not topic.endswith("tf_static")]
        beside = [topic for topic in found if kind == POSE and _common(topic, color) >= 2 and topic.endswith("/pose")]
        if len(beside or found) == 1:
            return (beside or found)[0]
        if found:
            raise InvalidSceneError(f"poses could be any of {', '.join(found)}: name one, pose=TOPIC in topics")
    raise InvalidSceneError(f"no topic has camera poses (PoseStamped, Odometry or TF); {_listed(types)}")


def _listed(types: Mapping[str, str]) -> str:
    topics = [f"{topic} ({kind.rpartition('/')[2]})" for topic, kind in types.items()]
    return f"it has: {', '.join(topics) or 'nothing'}"
