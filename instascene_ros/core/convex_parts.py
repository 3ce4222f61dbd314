"""A solid as a union of convex ones, which planners check much faster. The only module that imports coacd."""

from types import ModuleType

import numpy as np

from instascene_ros.core.errors import BackendUnavailableError
from instascene_ros.core.meshing import Mesh, decimated  # first of all: open3d cannot be loaded after coacd

CONCAVITY = 0.05  # CoACD's measure of what a part may differ from its hull, in a solid of size 1
SEARCHED_FACES = 500  # more are ten times slower to take apart and change little


def load_coacd() -> ModuleType:
    """Raises BackendUnavailableError: coacd is not installed; the message has the line to run."""
    try:
        import coacd
    except (ImportError, OSError) as error:
        raise BackendUnavailableError(f"convex parts need coacd ({error}): pip install coacd") from error
    coacd.set_log_level("error")
    return coacd


def convex_parts(mesh: Mesh, max_parts: int) -> list[Mesh]:
    """At most `max_parts` convex, watertight meshes (m, the mesh's frame) that cover it together.

    Approximate, by CoACD (Wei et al., SIGGRAPH 2022), and the same every time. A convex mesh is one part. It takes
    seconds: more, the more hollows there are.

    Raises:
        BackendUnavailableError: coacd is not installed.
    """
    coacd, coarse = load_coacd(), decimated(mesh, SEARCHED_FACES)
    solid = coacd.Mesh(coarse.vertices_m.astype(np.float64), coarse.faces)
    parts = coacd.run_coacd(solid, threshold=CONCAVITY, max_convex_hull=max_parts, seed=0)
    return [Mesh(vertices_m.astype(np.float32), faces.astype(np.int32)) for vertices_m, faces in parts]
