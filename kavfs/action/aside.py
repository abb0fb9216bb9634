"""Aside: a folder that is made for one act in the folder where the act takes place, mode 0700, so that what was moved
into it cannot be exchanged by anybody else before it has been looked at.

If we are killed meanwhile, the file that was moved lies in it whole: `.kavfs-<16 digits>/taken`.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import sys
from contextlib import suppress

from kavfs._native import action

PREFIX = b".kavfs-"
TAKEN = b"taken"
SECOND = b"second"

FS_IOC_GETFLAGS = 0x80086601  # of <linux/fs.h> on 64 bits; Python does not know it
FS_APPEND_FL = 0x20


class Aside:
    """The folder, open. It belongs to *parent*, whose descriptor is somebody else's. Raises OSError."""

    def __init__(self, parent: int) -> None:
        self._parent = parent
        self._ours = False  # whether what lies in it was made by us
        if _only_grows(parent):
            raise OSError(errno.EPERM, "its folder is append-only")
        self.name = PREFIX + os.urandom(8).hex().encode()
        os.mkdir(self.name, 0o700, dir_fd=parent)
        self.fd = -1
        try:
            self.fd = os.open(self.name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
            self._must_be_ours()
        except BaseException:
            self.close()
            raise

    def _must_be_ours(self) -> None:
        """Whoever may write to the parent could have put another folder there between the two calls; but none of ours
        that only we may write to, for to move it he would have to write to it."""
        status = os.fstat(self.fd)
        if status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) & 0o077 or os.listdir(self.fd):
            os.close(self.fd)
            self.fd = -1
            raise OSError(errno.EPERM, "somebody else interferes in the folder")

    def close(self) -> None:
        """May be called twice. What we made ourselves goes; a file of somebody else stays, and the folder with it."""
        if self.fd < 0:
            return
        if self._ours:
            with suppress(OSError):
                os.unlink(TAKEN, dir_fd=self.fd)
        os.close(self.fd)
        self.fd = -1
        with suppress(OSError):  # not empty, or moved away by the owner of the parent
            os.rmdir(self.name, dir_fd=self._parent)

    # -- what comes in -----------------------------------------------------------------------------------------------

    def make(self) -> int:
        """A new file with a name in here, open for reading and writing; one made before goes."""
        if self._ours:
            with suppress(FileNotFoundError):
                self.unlink()
        fd = os.open(TAKEN, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=self.fd)
        self._ours = True
        return fd

    def adopt(self, fd: int) -> None:
        """A file of ours without a name gets one in here."""
        action.link(fd, self.fd, TAKEN)
        self._ours = True

    def take(self, name: bytes, *, second: bool = False) -> None:
        """Move an entry of the parent in here, whatever it is."""
        os.rename(name, _entry(second), src_dir_fd=self._parent, dst_dir_fd=self.fd)
        self._ours = self._ours and second

    def exchange(self, name: bytes) -> None:
        """What is in here for an entry of the parent, at once."""
        action.exchange(self.fd, TAKEN, self._parent, name)
        self._ours = False

    # -- what is in here ---------------------------------------------------------------------------------------------

    def look(self, *, second: bool = False) -> os.stat_result:
        return os.stat(_entry(second), dir_fd=self.fd, follow_symlinks=False)

    def unlink(self, *, second: bool = False) -> None:
        os.unlink(_entry(second), dir_fd=self.fd)

    # -- what goes out -----------------------------------------------------------------------------------------------

    def put_back(self, name: bytes, *, second: bool = False) -> None:
        """Move it into the parent; FileExistsError when the name is taken there."""
        action.rename_new(self.fd, _entry(second), self._parent, name)

    def give_back(self, name: bytes, *, second: bool = False) -> str:
        """What is not ours goes back to its name, or, when that is taken already, beside it. The end of a sentence
        that says where it is; it is lost in no case."""
        with suppress(OSError):
            self.put_back(name, second=second)
            return ""
        beside = name[:200] + self.name
        with suppress(OSError):
            self.put_back(beside, second=second)
            return f", which is called {os.fsdecode(beside)} now"
        return f", which lies in {os.fsdecode(self.name)} now"


def _only_grows(folder: int) -> bool:
    """Whether a folder takes new entries and lets none go: one of ours would be there for ever."""
    flags = bytearray(8)
    try:
        fcntl.ioctl(folder, FS_IOC_GETFLAGS, flags)
    except OSError:
        return False  # a file system without such flags
    return bool(int.from_bytes(flags[:4], sys.byteorder) & FS_APPEND_FL)


def _entry(second: bool) -> bytes:
    return SECOND if second else TAKEN
