"""A rosbag2 on disk (mcap or sqlite3), read without ROS. The only module that knows the library `rosbags`."""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from instascene_ros.core.errors import BackendUnavailableError, InstasceneError, InvalidSceneError

SUFFIXES = (".mcap", ".db3")  # one file of a bag, without its metadata.yaml
_LITTLE, _BIG = struct.Struct("<iI"), struct.Struct(">iI")


@dataclass(frozen=True)
class Entry:
    """One recorded message, still serialized."""

    topic: str
    log_ns: int  # when the recorder got it
    stored: bytes

    @property
    def stamp_ns(self) -> int:
        """Stamp of the header that the message begins with (CDR: 4 bytes say the byte order, then the fields)."""
        if len(self.stored) < 12:
            raise InvalidSceneError(f"a message of {self.topic} has {len(self.stored)} bytes; expected a header")
        seconds, nanoseconds = (_LITTLE if self.stored[1] & 1 else _BIG).unpack_from(self.stored, 4)
        return seconds * 10**9 + nanoseconds


def is_bag(path: Path) -> bool:
    """Whether the path looks like a rosbag2."""
    return path.suffix in SUFFIXES if path.is_file() else (path / "metadata.yaml").exists()


class BagFile:
    """The topics of a bag, and its messages in the order in which they were recorded.

    Raises:
        InvalidSceneError: not a bag, damaged, or of a storage that the library does not know.
        BackendUnavailableError: the library is not installed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._told():
            self._reader, self._definitions = _open_reader(path)
            self._connections: dict[str, list[Any]] = {}
            for connection in self._reader.connections:
                self._connections.setdefault(connection.topic, []).append(connection)
            self.types: Mapping[str, str] = {
                topic: found[0].msgtype for topic, found in sorted(self._connections.items()) if found[0].msgcount
            }

    def entries(self, topics: list[str], first_ns: int | None = None, last_ns: int | None = None) -> Iterator[Entry]:
        """Messages of those topics that were recorded in first_ns .. last_ns.

        Raises:
            InvalidSceneError: the bag ends in the middle of something.
        """
        connections = [one for topic in topics for one in self._connections.get(topic, [])]
        if not connections:
            return
        stop_ns = None if last_ns is None else last_ns + 1
        messages = iter(self._reader.messages(connections, start=first_ns, stop=stop_ns))
        while True:
            with self._told():
                found = next(messages, None)
            if found is None:
                return
            connection, log_ns, stored = found
            yield Entry(connection.topic, log_ns, bytes(stored))

    def first(self, topic: str) -> Entry:
        """The first message of a topic.

        Raises:
            InvalidSceneError: the bag lists the topic but holds none of its messages.
        """
        found = next(self.entries([topic]), None)
        if found is None:
            raise InvalidSceneError(f"{self.path} lists {topic} but holds none of its messages; it may be damaged")
        return found

    def message(self, entry: Entry) -> Any:
        """The fields of a message, under their ROS names; arrays are numpy's.

        Raises:
            InvalidSceneError: it cannot be decoded.
        """
        with self._told():
            kind = self.types[entry.topic]
            store = self._definitions if kind in self._definitions.fielddefs else self._reader.typestore
            return store.deserialize_cdr(entry.stored, kind)

    def close(self) -> None:
        self._reader.close()

    def __enter__(self) -> "BagFile":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _told(self) -> "_Told":
        return _Told(self.path)


class _Told:
    """Whatever a parser says of bytes that are not what they should be, as one error of ours."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        # Damaged bytes make it raise anything from AssertionError to struct.error; none of it is a fault of ours.
        if isinstance(error, Exception) and not isinstance(error, InstasceneError):
            words = str(error) or type(error).__name__
            raise InvalidSceneError(
                f"{self._path} cannot be read as a rosbag2 (mcap or sqlite3): {words}; "
                "if the recorder was killed, try `ros2 bag reindex` (sqlite3) or `mcap recover`"
            ) from error


def _open_reader(path: Path) -> tuple[Any, Any]:
    """The opened bag, and the definitions of the messages that its distribution has."""
    try:
        from rosbags.highlevel import AnyReader
        from rosbags.typesys import Stores, get_typestore
    except ImportError as error:
        raise BackendUnavailableError(f"reading a rosbag2 needs rosbags ({error}): pip install rosbags") from error
    # Rather than those that the bag holds: they can be damaged, and no distribution has changed its sensor messages.
    definitions = get_typestore(Stores.ROS2_JAZZY)
    reader = AnyReader([path], default_typestore=definitions)
    reader.open()
    return reader, definitions
