"""What users change about the scene, on the scene thread: edits of instances, and clicks."""

from instascene_ros.adapters.error_codes import InvalidRequestError, code_of
from instascene_ros.adapters.scene_owner import SceneOwner
from instascene_ros.core.errors import InstasceneError, UnknownInstanceError
from instascene_ros.srv import EditInstances


def edit_instances(owner: SceneOwner, request: EditInstances.Request) -> EditInstances.Response:
    """Remove, merge or rename; an edit that fails changes nothing."""
    ids, operation = [int(i) for i in request.ids], request.operation
    response = EditInstances.Response()
    try:
        response.affected_ids = list(_edit(owner, operation, ids, request.name))
    except InstasceneError as error:
        known = owner.scene.instances.ids.tolist()
        unknown = [i for i in ids if i not in known]
        response.error_code, response.error_msg = code_of(error), str(error)
        response.failed_ids = unknown if isinstance(error, UnknownInstanceError) else ids
    return response


def _edit(owner: SceneOwner, operation: int, ids: list[int], name: str) -> tuple[int, ...]:
    asked = EditInstances.Request
    if not ids:
        raise InvalidRequestError("ids is empty; expected the instances to edit")
    if operation == asked.OP_REMOVE:
        return owner.edit(lambda scene: scene.remove(ids), gone=ids)
    if operation == asked.OP_MERGE:
        return owner.edit(lambda scene: scene.merge(ids), gone=ids)
    if operation != asked.OP_RENAME:
        raise InvalidRequestError(
            f"operation is {operation}; expected {asked.OP_REMOVE} (remove), {asked.OP_MERGE} (merge) or "
            f"{asked.OP_RENAME} (rename)"
        )
    if len(ids) != 1:
        raise InvalidRequestError(f"asked to rename {ids}; expected one instance, because names tell them apart")
    return owner.edit(lambda scene: scene.rename(ids[0], name))
