"""Walking in C (ext/walk/walk.h states what is sent for which entry, and in which order the rules apply)."""

from collections.abc import Iterable

from _typeshed import ReadableBuffer, WriteableBuffer

class Stop:
    """Ends a walk early. May be set at any time from another thread, or before the walk begins."""

    def set(self) -> None: ...
    @property
    def is_set(self) -> bool: ...

class Lookup:
    """The stores that a walk asks (ext/cache/lookup.h). The descriptors *file* and *journal*, -1 = none, stay the
    caller's and must be open during the walk; *delta* is the delta table, checked here (ValueError)."""

    def __init__(
        self,
        secret: bytes,
        generation: bytes,
        settings: Iterable[bytes],
        *,
        file: int = -1,
        journal: int = -1,
        delta: ReadableBuffer | None = None,
    ) -> None: ...

def file_system(fd: int) -> tuple[int, int, int, bytes]:
    """Where an open file or directory lies: device (as kav_entry has it), number of the mount as in mountinfo, its
    unique number, UUID. 0 and b"" stand for what the kernel does not tell. OSError."""

def subvolume(fd: int, fs: bytes) -> bytes:
    """The name of the btrfs subvolume on which an open directory lies, made of that of its file system. OSError."""

def walk(
    socket_fd: int,
    roots: Iterable[bytes],
    *,
    slot: WriteableBuffer | None = None,
    exclude_masks: Iterable[bytes] = (),
    exclude_dirs: Iterable[bytes] = (),
    mount_points: Iterable[bytes] = (),
    stores: Iterable[tuple[int, int]] = (),
    recurse: bool = True,
    follow_symlinks: bool = False,
    enter_pseudo: bool = False,
    count_only: bool = False,
    lookup: Lookup | None = None,
    fs: bytes = ...,
    fs_dev: int = 0,
    subvolumes: bool = False,
    trusted: bool = False,
    distrust: bool = False,
    names: bool = False,
    cold: bool = False,
    threads: int = 1,
    max_fds: int = 1024,
    patience: float = 300.0,
    stop: Stop | None = None,
) -> None:
    """List *roots* and send batches to *socket_fd*, a SOCK_SEQPACKET socket; the GIL is released meanwhile.

    *slot* is the memory of one kav_slot (64 bytes at a multiple of 8). *stores* are pairs (st_dev, st_ino) as os.stat
    gives them. With *count_only* nothing is opened or sent, *socket_fd* may be -1, and the slot holds the sums.

    With *lookup*, files that the stores know are not opened; *fs* (16 bytes), *fs_dev* (as file_system tells it),
    *subvolumes*, *trusted*, *distrust*, *names* and *cold* are those of kav_walk_options. A process that walks what is
    *trusted* must ignore SIGIO; OSError (EINVAL) if it does not.

    For *patience* seconds the heart beats on while the kernel takes no message, because descriptors of other processes
    are on their way (ETOOMANYREFS) or it has no memory; then that is an OSError.

    Returns at the end of the walk or soon after *stop* was set. Raises BrokenPipeError when nobody reads the socket any
    more, OSError or MemoryError when the walk cannot go on for another reason. Signal handlers written in Python run
    only after the return: run the walk in a thread of its own where they matter.
    """
