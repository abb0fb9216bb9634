"""Places: acting on the very inode that was scanned, by descriptor, whatever happens to names meanwhile.

    with places.open(result.path, result.identity) as held:   # the parent, without a link on the way, and the inode
        store.put(held, finding)
        held.remove()

A name is not what was scanned: whoever may write to the folder can let it mean another file at any moment. So an entry
is first moved into a folder that is made for it and that nobody else can write to (`Aside`), and looked at there, where
it cannot be exchanged any more. Only what proves to be the scanned inode is acted on; anything else is put back. In no
case is something written over, and no link is followed.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from types import TracebackType

from kavfs._native import action
from kavfs.action import facts as facts_of
from kavfs.action.aside import Aside
from kavfs.errors import KavfsError
from kavfs.model import Identity

AT_CWD = -100
OTHER_FILE = "another file had its name"
_NO_EXCHANGE = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)


class ActionError(KavfsError):
    """An action that could not be carried out on one file; str() says why, in words for a report. What was there
    before is there still."""


def identity_of(fd: int) -> Identity:
    """The identity of the file behind *fd*, in the numbers of a Result."""
    status = os.fstat(fd)
    device = os.major(status.st_dev) << 32 | os.minor(status.st_dev)
    return Identity(device, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


class Places:
    """Where a scan's results lie. *roots* are its paths as given: links in them are resolved now, once, as the scan
    does; a link that is met below them later is refused. *follow*: the scan follows links below its roots too."""

    def __init__(self, roots: Iterable[bytes] = (), *, follow: bool = False) -> None:
        self._follow = follow
        self._roots = {_trimmed(root): _trimmed(os.path.realpath(root)) for root in roots}
        self._touched: dict[tuple[int, int], Identity] = {}  # what our own acts made of inodes with several names

    def open(self, path: bytes, identity: Identity | None) -> Held:
        """The scanned file, held. ActionError when it is not there any more, or is not the one that was scanned, or was
        changed since."""
        if identity is None:
            raise ActionError("it was not opened by the scan")
        place = self.real(path)
        folder, name = os.path.split(place)
        known = self._touched.get(identity[:2])
        if known is not None and known[2:4] == identity[2:4]:
            identity = known
        try:
            parent = Parent(folder)
        except OSError as error:
            raise ActionError(_way_text(error)) from None
        try:
            return Held(parent, name, path, identity, self._touched)
        except BaseException:
            parent.close()
            raise

    def real(self, path: bytes) -> bytes:
        """Where *path* lies, with the links of its root resolved, or, where the scan followed them, all links: what is
        acted upon then is the file that was scanned, not a link to it."""
        if self._follow:
            return os.path.realpath(path)
        above = path
        while above:
            if above in self._roots:
                return self._roots[above] + path[len(above) :]
            above = above[: above.rfind(b"/")] if b"/" in above else b""
        return self._roots[b""] + path if b"" in self._roots else path


class Parent:
    """An open folder in which something is done, by its path (below the folder *base*), on which no link stands; a
    descriptor until close(). Raises OSError when made."""

    def __init__(self, path: bytes, base: int = AT_CWD) -> None:
        self.path = path or b"/"
        self.fd = action.directory(base, self.path)
        self._aside: Aside | None = None
        self._made = -1  # what temp_file() made with a name in the aside

    def close(self) -> None:
        """May be called twice. What stands aside and has not been taken from there is removed if we made it."""
        if self.fd >= 0:
            if self._aside is not None:
                self._aside.close()
                self._aside = None
            os.close(self.fd)
            self.fd = -1

    def aside(self) -> Aside:
        """A folder of ours alone below this one."""
        if self._aside is None:
            self._aside = Aside(self.fd)
        return self._aside

    def temp_file(self) -> int:
        """An empty file on the same file system, open for reading and writing, that has no name, or none that anybody
        else can reach. The descriptor is the caller's."""
        with suppress(OSError):
            return os.open(b".", os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600, dir_fd=self.fd)
        aside = self.aside()
        self._made = aside.make()
        return self._made

    def publish(self, fd: int, name: bytes) -> None:
        """Give a file of temp_file() its name, on disk with its bytes. FileExistsError when there is something."""
        os.fsync(fd)
        if fd == self._made:
            self.aside().put_back(name)
            self._made = -1
        else:
            action.link(fd, self.fd, name)
        os.fsync(self.fd)

    def stage(self, fd: int) -> None:
        """Let a file of temp_file() stand aside with a name."""
        if fd != self._made:
            self.aside().adopt(fd)


class Held:
    """A scanned file: its folder, its name there, and the inode itself, open for reading. Made by Places."""

    def __init__(
        self, parent: Parent, name: bytes, path: bytes, identity: Identity, touched: dict[tuple[int, int], Identity]
    ) -> None:
        self.folder = parent
        self.name = name
        self.identity = identity
        self._scanned = identity[:2]
        self._touched = touched
        try:
            self.fd = _open_scanned(parent.fd, name, identity)
        except OSError as error:
            raise ActionError(_text(error)) from None
        try:
            self.facts = facts_of.read(self.fd, path, os.path.join(parent.path, name))
        except OSError as error:
            os.close(self.fd)
            raise ActionError(f"its attributes cannot be read: {_text(error)}") from None

    @property
    def parent(self) -> int:
        """The descriptor of its folder."""
        return self.folder.fd

    @property
    def others(self) -> int:
        """How many other hard links the file has."""
        return max(0, os.fstat(self.fd).st_nlink - 1)

    def nameless(self) -> bool:
        """Whether the last name of the file has gone."""
        return os.fstat(self.fd).st_nlink == 0

    def close(self) -> None:
        """May be called twice."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
        self.folder.close()

    def __enter__(self) -> Held:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- acts: each returns a text for the report, "" when there is nothing to be said --------------------------------

    def unchanged(self) -> bool:
        """Whether the bytes of the inode still are those of the scan, as far as its stamps tell. Names and rights may
        have changed: who owns the file could else keep it from us by changing them again and again."""
        return identity_of(self.fd)[:4] == self.identity[:4]

    def in_place(self) -> bool:
        """Whether the name still means the scanned inode."""
        try:
            return self._is_scanned(os.stat(self.name, dir_fd=self.parent, follow_symlinks=False))
        except OSError:
            return False

    def gone(self) -> bool:
        """Whether there is nothing at the name."""
        try:
            os.stat(self.name, dir_fd=self.parent, follow_symlinks=False)
        except FileNotFoundError:
            return True
        return False

    def made_since(self, moment: int) -> bool:
        """Whether the name means a file that was born at *moment* (of the coarse clock) or later: nobody's file that
        was there before. The time of birth cannot be set."""
        try:
            look = os.open(self.name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self.parent)
        except OSError:
            return False
        try:
            born = action.born(look)
            return stat.S_ISREG(os.fstat(look).st_mode) and born is not None and born >= moment
        finally:
            os.close(look)

    def remove(self) -> str:
        """The name goes. Other names of the file stay, and the text says so."""
        try:
            aside = self._take()
            aside.unlink()
            os.fsync(self.parent)
        except OSError as error:
            raise ActionError(_text(error)) from None
        return self._links_left()

    def rename(self, new_name: bytes) -> str:
        """Another name in the same folder; never one that is taken. Returns the new path."""
        if not new_name or b"/" in new_name or b"\0" in new_name or new_name in (b".", b".."):
            raise ActionError("that is no name for a file")
        try:
            aside = self._take()
            try:
                aside.put_back(new_name)
            except OSError as error:
                why = "there is a file of the new name already" if error.errno == errno.EEXIST else _text(error)
                raise ActionError(why + self._give_back(aside)) from None
            os.fsync(self.parent)
        except OSError as error:
            raise ActionError(_text(error)) from None
        self._remember()
        self.name = new_name
        return os.fsdecode(os.path.join(os.path.dirname(self.facts.path), new_name))

    def temp_file(self) -> int:
        """An empty file for replace(), as of Parent.temp_file(): the caller's descriptor."""
        try:
            return self.folder.temp_file()
        except OSError as error:
            raise ActionError(_text(error)) from None

    def replace(self, out: int) -> str:
        """*out*, of temp_file(), takes the place of the file, with everything that the file was but its bytes."""
        try:
            missing = facts_of.apply(out, self.facts)
            os.fsync(out)
            self.folder.stage(out)
            self._exchange(out)
            os.fsync(self.parent)
        except OSError as error:
            raise ActionError(_text(error)) from None
        told = [f"not given back: {', '.join(missing)}"] if missing else []
        return "; ".join([*told, *([left] if (left := self._links_left()) else [])])

    # -- how ---------------------------------------------------------------------------------------------------------

    def _take(self) -> Aside:
        """The entry, moved aside and proved to be the scanned inode. Else it is put back."""
        self._must_be_there()
        aside = self.folder.aside()
        aside.take(self.name)
        if not self._proved(aside.look()):
            raise ActionError(f"{OTHER_FILE}, or it was changed since it was scanned{self._give_back(aside)}")
        return aside

    def _exchange(self, out: int) -> None:
        """The staged file for the scanned one."""
        self._must_be_there()
        aside, ours = self.folder.aside(), os.fstat(out)
        try:
            aside.exchange(self.name)
        except OSError as error:
            if error.errno not in _NO_EXCHANGE:
                raise
            self._exchange_in_two_steps(aside)
            return
        if self._proved(aside.look()):
            aside.unlink()
            return
        aside.exchange(self.name)
        self._settle()
        back = aside.look()
        if (back.st_dev, back.st_ino) != (ours.st_dev, ours.st_ino):
            raise ActionError(f"{OTHER_FILE}, and then a third one{aside.give_back(self.name)}")
        aside.unlink()
        raise ActionError(f"{OTHER_FILE}, or it was changed since it was scanned")

    def _exchange_in_two_steps(self, aside: Aside) -> None:
        """Where the file system cannot exchange: for a moment there is nothing at the name."""
        aside.take(self.name, second=True)
        if not self._proved(aside.look(second=True)):
            raise ActionError(f"{OTHER_FILE}{self._give_back(aside, second=True)}")
        try:
            aside.put_back(self.name)
        except OSError:
            raise ActionError(f"another file took its name{self._give_back(aside, second=True)}") from None
        aside.unlink(second=True)

    def _must_be_there(self) -> None:
        if not self.unchanged():
            raise ActionError("it was changed since it was scanned")
        if not self.in_place():
            raise ActionError("it is not there any more, or another file has its name")

    def _proved(self, moved: os.stat_result) -> bool:
        """Whether what was moved is the scanned inode, unchanged but for the move."""
        return self._is_scanned(moved) and self._settle()

    def _settle(self) -> bool:
        """Moving an entry stamps its inode: the stamp is part of what we know of it from now on."""
        now = identity_of(self.fd)
        if now[:4] != self.identity[:4]:
            return False
        self.identity = now
        return True

    def _give_back(self, aside: Aside, *, second: bool = False) -> str:
        end = aside.give_back(self.name, second=second)
        self._settle()
        return end

    def _is_scanned(self, status: os.stat_result) -> bool:
        device = os.major(status.st_dev) << 32 | os.minor(status.st_dev)
        return stat.S_ISREG(status.st_mode) and (device, status.st_ino) == self._scanned

    def _remember(self) -> int:
        """What we did stamped the inode; its other names are to be known still. How many there are."""
        self._settle()
        if left := os.fstat(self.fd).st_nlink:
            self._touched[self._scanned] = self.identity
        return left

    def _links_left(self) -> str:
        left = self._remember()
        return f"the file has {left} other name{'s' if left > 1 else ''} still" if left else ""


def _open_scanned(parent: int, name: bytes, identity: Identity) -> int:
    """The inode, looked at before it is opened: opening a device or a FIFO can do things already."""
    look = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        found = identity_of(look)
        if not stat.S_ISREG(os.fstat(look).st_mode) or found[:2] != identity[:2]:
            raise ActionError("another file has its name now")
        if found != identity and not _same_inode(look, found, identity):
            raise ActionError("it was changed since it was scanned")
        return os.open(f"/proc/self/fd/{look}", os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    finally:
        os.close(look)


def _same_inode(fd: int, found: Identity, identity: Identity) -> bool:
    """Whether, in spite of another ctime, this is the inode of the scan with its bytes, and not a file that was made
    since and was given the old one's number: the time of birth cannot be set."""
    born = action.born(fd)
    return found[:4] == identity[:4] and born is not None and born <= identity.ctime_ns


def _trimmed(path: bytes) -> bytes:
    return path.rstrip(b"/")  # the root of all is b""


def _way_text(error: OSError) -> str:
    if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.EXDEV):
        return "a link stands in its path, or what should be a folder is none"
    return _text(error)


def _text(error: OSError) -> str:
    return error.strerror or str(error)
