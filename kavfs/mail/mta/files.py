"""Files: one configuration file exchanged as a whole: at every moment the old one or the new one has its name.

Paths are those inside *root*; links are followed as a program would follow them that has *root* as its /.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import NamedTuple

from kavfs.errors import SystemFailure
from kavfs.mail.mta.wish import Refused

_LINKS = 40


class Kept(NamedTuple):
    """What a file is besides its content."""

    uid: int
    gid: int
    mode: int
    attributes: tuple[tuple[str, bytes], ...] = ()


def real(root: str, path: str) -> str:
    """Where *path* lies as a path of this system, with its links followed. The last part need not be there."""
    left = [part for part in path.split("/") if part]
    done: list[str] = []
    links = 0
    while left:
        part = left.pop(0)
        if part in (".", ".."):
            done = done[:-1] if part == ".." else done
            continue
        try:
            link = os.readlink(os.path.join(root, *done, part))
        except OSError:
            done.append(part)
            continue
        links += 1
        if links > _LINKS:
            raise Refused(f"{path}: links without end")
        done = [] if link.startswith("/") else done
        left = [step for step in link.split("/") if step] + left
    return os.path.join(root, *done)


def read(root: str, path: str) -> bytes | None:
    """None: it is not there."""
    try:
        with open(real(root, path), "rb") as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise SystemFailure(f"{path} cannot be read: {error.strerror}") from None


def write(root: str, path: str, content: bytes | None, new: Kept | None = None) -> None:
    """Gives the file this content, with owner, mode and attributes as they are; *new*: as what it is made when it is
    not there. None: it is removed. What it was is there until the new one has its name, on the disk too."""
    place = real(root, path)
    try:
        if content is None:
            with suppress(FileNotFoundError):
                os.unlink(place)
        else:
            _exchange(place, content, _kept(place) or new or Kept(os.geteuid(), os.getegid(), 0o644))
        _settle(os.path.dirname(place))
    except OSError as error:
        raise SystemFailure(f"{path} cannot be written: {error.strerror}") from None


def sweep(root: str, path: str) -> None:
    """Removes what a run that was killed has left beside the file."""
    with suppress(OSError):
        os.unlink(_fresh(real(root, path)))


def write_private(place: str, content: bytes, like: Kept) -> None:
    """The same for a file of ours, outside of any root, with what it is."""
    _exchange(place, content, like)
    _settle(os.path.dirname(place))


def kept_of(root: str, path: str) -> Kept | None:
    return _kept(real(root, path))


def _exchange(place: str, content: bytes, like: Kept) -> None:
    fresh = _fresh(place)
    with suppress(FileNotFoundError):
        os.unlink(fresh)  # of a run that was killed
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with open(fd, "wb") as file:
            file.write(content)
            file.flush()
            if (like.uid, like.gid) != (os.geteuid(), os.getegid()):
                os.fchown(fd, like.uid, like.gid)
            os.fchmod(fd, like.mode)
            for key, value in like.attributes:
                os.setxattr(fd, key, value)
            os.fsync(fd)
        os.rename(fresh, place)
    except BaseException:
        with suppress(OSError):
            os.unlink(fresh)
        raise


def _fresh(place: str) -> str:
    folder, name = os.path.split(place)
    return os.path.join(folder, f".{name}.kavfs-new")  # no name that Debian's Exim or a run-parts would take


def _kept(place: str) -> Kept | None:
    try:
        status = os.stat(place)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not stat.S_ISREG(status.st_mode):
        raise Refused(f"{place} is no regular file")
    attributes = []
    with suppress(OSError):  # a file system without any
        attributes = [(key, os.getxattr(place, key)) for key in os.listxattr(place)]
    return Kept(status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode), tuple(attributes))


def _settle(folder: str) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
