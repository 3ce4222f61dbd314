"""Named errors -> the error_code of services and actions (the constants of CompleteObject.srv)."""

from instascene_ros.core.errors import (
    BackendUnavailableError,
    CancelledError,
    InstasceneError,
    InvalidEditError,
    InvalidSceneError,
    TooFewPointsError,
    UnknownInstanceError,
)
from instascene_ros.srv import CompleteObject

Codes = CompleteObject.Response


class NoMapError(InstasceneError):
    """Nothing has been mapped yet."""


class MapChangedError(InstasceneError):
    """The request speaks of a map that was reset or replaced since."""


class UnknownTransformError(InstasceneError):
    """The request names a frame that cannot be related to the map frame."""


class RequestTimeoutError(InstasceneError):
    """The scene thread did not get to the request in time."""


class InvalidRequestError(InstasceneError, ValueError):
    """A request whose fields contradict each other or the contract."""


class OutOfMemoryError(InstasceneError):
    """The job needs more memory than there is."""


_CODES: dict[type[InstasceneError], int] = {
    NoMapError: Codes.NO_MAP,
    UnknownInstanceError: Codes.NO_SUCH_INSTANCE,
    MapChangedError: Codes.MAP_CHANGED,
    TooFewPointsError: Codes.TOO_FEW_POINTS,
    UnknownTransformError: Codes.TF_ERROR,
    RequestTimeoutError: Codes.TIMEOUT,
    CancelledError: Codes.CANCELED,
    BackendUnavailableError: Codes.METHOD_UNAVAILABLE,
    InvalidRequestError: Codes.INVALID_REQUEST,
    InvalidEditError: Codes.INVALID_REQUEST,
    InvalidSceneError: Codes.NO_MAP,
    OutOfMemoryError: Codes.OUT_OF_MEMORY,
}


def code_of(error: InstasceneError) -> int:
    """The most specific code; UNKNOWN for an error of ours without one."""
    return next((_CODES[kind] for kind in type(error).__mro__ if kind in _CODES), Codes.UNKNOWN)


def error_of(code: int, words: str) -> InstasceneError:
    """What another node's answer says, as an error of ours: `code_of(error_of(code, words)) == code`."""
    return next((kind for kind, known in _CODES.items() if known == code), InstasceneError)(words)
