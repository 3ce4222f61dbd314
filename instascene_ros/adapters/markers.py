"""InstanceArray -> what RViz draws: a box and a label for each instance."""

from collections.abc import Collection

from geometry_msgs.msg import Point, Pose, Quaternion, Vector3
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from instascene_ros.msg import Instance, InstanceArray

BOXES, LABELS = "boxes", "labels"  # marker namespaces; the marker id is the instance id
LABEL_HEIGHT_M = 0.03
BOX_ALPHA, MISSING_ALPHA, SELECTED_ALPHA = 0.35, 0.1, 0.8
SELECTED_SCALE = 1.6  # of the label


def instance_markers(
    array: InstanceArray, shown_ids: Collection[int], new_map: bool, selected_id: int = 0
) -> tuple[MarkerArray, set[int]]:
    """Markers of the trusted instances, and their ids. Those of `shown_ids` that are gone go; all on a new map.

    The selected one is drawn nearly solid, with a larger label.
    """
    trusted = [instance for instance in array.instances if instance.state != Instance.STATE_TENTATIVE]
    ids = {instance.id for instance in trusted}
    markers = [Marker(header=array.header, action=Marker.DELETEALL)] if new_map else []
    for gone in () if new_map else sorted(set(shown_ids) - ids):
        markers += [Marker(header=array.header, ns=ns, id=gone, action=Marker.DELETE) for ns in (BOXES, LABELS)]
    for instance in trusted:
        selected = instance.id == selected_id
        markers += [_box(instance, array.header, selected), _label(instance, array.header, selected)]
    return MarkerArray(markers=markers), ids


def _box(instance: Instance, header: Header, selected: bool) -> Marker:
    alpha = SELECTED_ALPHA if selected else MISSING_ALPHA if instance.state == Instance.STATE_MISSING else BOX_ALPHA
    color = ColorRGBA(r=instance.color.r, g=instance.color.g, b=instance.color.b, a=alpha)
    return Marker(
        header=header, ns=BOXES, id=instance.id, type=Marker.CUBE, action=Marker.ADD,
        pose=instance.bbox.center, scale=instance.bbox.size, color=color,
    )  # fmt: skip


def _label(instance: Instance, header: Header, selected: bool) -> Marker:
    center, size = instance.bbox.center.position, instance.bbox.size
    # Above the box whichever way it is turned: no corner is further from the centre than half the diagonal.
    reach_m = 0.5 * (size.x**2 + size.y**2 + size.z**2) ** 0.5
    above = Pose(position=Point(x=center.x, y=center.y, z=center.z + reach_m), orientation=Quaternion(w=1.0))
    height_m = LABEL_HEIGHT_M * (SELECTED_SCALE if selected else 1)
    return Marker(
        header=header, ns=LABELS, id=instance.id, type=Marker.TEXT_VIEW_FACING, action=Marker.ADD, pose=above,
        scale=Vector3(z=height_m), color=ColorRGBA(r=1.0, g=1.0, b=1.0, a=1.0),
        text=instance.name or str(instance.id),
    )  # fmt: skip
