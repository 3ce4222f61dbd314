"""Named errors of the core. Each message says what was given, what was expected and what to do."""


class InstasceneError(Exception):
    """Base of every error this package raises on purpose."""


class InvalidFrameError(InstasceneError, ValueError):
    """A frame whose images, intrinsics or pose cannot be used."""


class InvalidSceneError(InstasceneError, ValueError):
    """A recorded scene or saved map that is missing, truncated or of another format."""


class UnknownInstanceError(InstasceneError, KeyError):
    """An instance id that is not in the map (any more)."""

    def __str__(self) -> str:  # KeyError would print the message in quotes
        return str(self.args[0]) if self.args else ""


class InvalidEditError(InstasceneError, ValueError):
    """An edit or a click that means nothing: a merge of one instance, a pixel outside the image."""


class TooFewPointsError(InstasceneError, ValueError):
    """An object seen too little to be completed."""


class BackendUnavailableError(InstasceneError, RuntimeError):
    """A rendering backend, segmenter or prior whose library or device is missing."""


class CancelledError(InstasceneError):
    """The caller asked a long job to stop; nothing was changed."""
