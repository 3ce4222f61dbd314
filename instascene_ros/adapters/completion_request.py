"""A checked request to complete an object: the fields that CompleteObject.srv and CompleteObject.action share."""

from dataclasses import dataclass
from math import isfinite

from geometry_msgs.msg import Point, PointStamped
from std_msgs.msg import Header

from instascene_ros.action import CompleteObject as CompleteObjectAction
from instascene_ros.adapters.error_codes import InvalidRequestError
from instascene_ros.srv import CompleteObject, ObserveObject

SELECT_ID, SELECT_POINT = CompleteObject.Request.SELECT_ID, CompleteObject.Request.SELECT_POINT
MIN_FACES = 100  # fewer cannot show a shape


@dataclass(frozen=True)
class CompletionRequest:
    """What to complete and how. Equal requests are the same job."""

    select_by: int
    instance_id: int  # 0 with SELECT_POINT
    point_frame: str
    point_m: tuple[float, float, float]
    map_id: str  # '' = any
    method: str
    seed: int
    max_faces: int  # 0 = default
    force: bool
    target_frame: str  # '' = map frame

    @classmethod
    def of(
        cls, message: CompleteObject.Request | CompleteObjectAction.Goal, default_method: str
    ) -> "CompletionRequest":
        """Raises InvalidRequestError, naming the field."""
        if message.select_by not in (SELECT_ID, SELECT_POINT):
            raise InvalidRequestError(
                f"select_by is {message.select_by}; expected {SELECT_ID} (SELECT_ID) or {SELECT_POINT} (SELECT_POINT)"
            )
        if 0 < message.max_faces < MIN_FACES:
            raise InvalidRequestError(f"max_faces is {message.max_faces}; expected 0 (default) or at least {MIN_FACES}")
        by_point, point = message.select_by == SELECT_POINT, message.point.point
        point_m = (point.x, point.y, point.z) if by_point else (0.0, 0.0, 0.0)
        if not all(map(isfinite, point_m)):
            raise InvalidRequestError(f"point is {point_m}; expected finite metres")
        return cls(
            select_by=message.select_by,
            instance_id=0 if by_point else message.instance_id,
            point_frame=message.point.header.frame_id if by_point else "",
            point_m=point_m,
            map_id=message.map_id,
            method=message.method or default_method,
            seed=message.seed,
            max_faces=message.max_faces,
            force=message.force,
            target_frame=message.target_frame,
        )

    def observe_request(self) -> ObserveObject.Request:
        """The question for the scene node."""
        x, y, z = self.point_m
        return ObserveObject.Request(
            select_by=self.select_by,
            instance_id=self.instance_id,
            point=PointStamped(header=Header(frame_id=self.point_frame), point=Point(x=x, y=y, z=z)),
            map_id=self.map_id,
        )
