"""Fast DDS, the default middleware, with room for images."""

import os
from contextlib import suppress

from instascene_ros.core.errors import InvalidSceneError
from instascene_ros.core.shipped_files import shipped_config

PROFILE = "FASTRTPS_DEFAULT_PROFILES_FILE"
CHOICES = (PROFILE, "FASTDDS_DEFAULT_PROFILES_FILE", "FASTDDS_BUILTIN_TRANSPORTS")  # Fast DDS 2, 3, and either


def make_room() -> None:
    """Let Fast DDS read `config/fastdds.xml`, unless the user chose otherwise; before `rclpy.init`.

    Its default is half a megabyte of shared memory for all that a process publishes: less than one image. What does not
    fit, be it a pose, is sent again up to 3 s later.
    """
    if not any(name in os.environ for name in CHOICES):
        with suppress(InvalidSceneError):  # a library without its configuration: the default works, but slowly
            os.environ[PROFILE] = str(shipped_config("fastdds.xml"))
