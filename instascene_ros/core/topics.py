"""Every topic that the nodes publish: the one table that nodes, tests and the check of the RViz configuration share."""

from dataclasses import dataclass

LATCHED_OBJECTS = 32  # a late subscriber gets this many of the newest completed objects


@dataclass(frozen=True)
class Topic:
    """A topic relative to the namespace, always reliable. Latched (transient local): kept for late subscribers."""

    name: str
    type: str
    latched: bool = True
    depth: int = 1


INSTANCES = Topic("instances", "instascene_ros/msg/InstanceArray")
INSTANCE_POINTS = Topic("instances/points", "sensor_msgs/msg/PointCloud2")
INSTANCE_MARKERS = Topic("instances/markers", "visualization_msgs/msg/MarkerArray")
MAP_POINTS = Topic("map/points", "sensor_msgs/msg/PointCloud2")
MAP_GAUSSIANS = Topic("map/gaussians", "sensor_msgs/msg/PointCloud2")
COMPLETED = Topic("completed_objects", "instascene_ros/msg/CompletedObject", depth=LATCHED_OBJECTS)
COMPLETED_POINTS = Topic("completed_objects/points", "sensor_msgs/msg/PointCloud2")
COMPLETED_MARKERS = Topic("completed_objects/markers", "visualization_msgs/msg/MarkerArray")
DEBUG_RENDER = Topic("debug/render", "sensor_msgs/msg/Image", latched=False)
DEBUG_MASKS = Topic("debug/masks", "sensor_msgs/msg/Image", latched=False)
STATUS = Topic("status", "instascene_ros/msg/MapStatus", latched=False)

PUBLISHED = (
    INSTANCES, INSTANCE_POINTS, INSTANCE_MARKERS, MAP_POINTS, MAP_GAUSSIANS, COMPLETED, COMPLETED_POINTS,
    COMPLETED_MARKERS, DEBUG_RENDER, DEBUG_MASKS, STATUS,
)  # fmt: skip
