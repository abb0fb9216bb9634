"""kavfs cache: what is remembered of files, why one of them is scanned again, and how to forget it all."""

from __future__ import annotations

import argparse
import contextlib
import errno
import os
import signal
import stat
import time
from collections.abc import Generator, Iterator

from kavfs._native import cache, walk
from kavfs.cache.contents import clear, objects_held
from kavfs.cache.explain import Explainer, Question, obstacles
from kavfs.cache.folder import DAMAGED, FILES, JOURNAL, OBJECTS, SETTINGS, Folder, Refused
from kavfs.cache.settings import LIST_MAX, read
from kavfs.cli.program import answer
from kavfs.cli.request import absolute
from kavfs.cli.running import open_signatures
from kavfs.errors import SystemFailure
from kavfs.report.names import shown_path, shown_text
from kavfs.report.summary import counted, human
from kavfs.signatures.sources import default_state
from kavfs.walk import filesystems, mounts

Lines = Generator[str, None, None]

NONE = "there is no cache: nothing is remembered"


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register ``cache`` and its sub-commands; the parsed arguments then go to run()."""
    parser = subparsers.add_parser("cache", help="what is remembered of files", description=__doc__)
    commands = parser.add_subparsers(dest="cache_command", required=True, metavar="COMMAND")
    stats = commands.add_parser(
        "stats", help="how much is remembered, for which signatures, and how much room it takes"
    )
    why = commands.add_parser("why", help="whether a scan would answer for a file without reading it, and if not, why")
    why.add_argument("paths", nargs="+", metavar="PATH", help="a file")
    why.add_argument("--db", action="append", default=[], metavar="PATH", help="databases or an image, as for the scan")
    clearing = commands.add_parser("clear", help="forget everything; not while a scan is running")
    for command in (stats, why, clearing):
        command.add_argument("--state", default="", metavar="DIR", help="folder of the cache (default: the usual one)")


def run(args: argparse.Namespace) -> int:
    """Carry out one ``kavfs cache`` command; the return value is the exit code."""
    commands = {"stats": _stats, "why": _why, "clear": _clear}
    output = answer()
    with contextlib.closing(commands[args.cache_command](args)) as lines, contextlib.suppress(BrokenPipeError):
        try:
            for line in lines:
                output.write(line.encode("utf-8", "backslashreplace") + b"\n")
        finally:  # what was found out before an error stands
            output.flush()
    return 0


def _state(args: argparse.Namespace) -> bytes:
    return absolute(os.fsencode(args.state)) if args.state else default_state()


@contextlib.contextmanager
def _folder(state: bytes, *, alone: bool = False) -> Iterator[Folder | None]:
    """The folder of stores; None when there is none. SystemFailure says why it cannot be used, also later."""
    folder = None
    try:
        with contextlib.suppress(FileNotFoundError):
            folder = Folder(state, create=False, alone=alone)
        yield folder
    except Refused as error:
        raise _unusable(state, str(error)) from None
    except cache.DamagedStore:
        raise _unusable(state, "it is damaged; the next scan begins it anew") from None
    except OSError as error:
        raise _unusable(state, error.strerror or str(error)) from None
    finally:
        if folder is not None:
            folder.close()


def _unusable(state: bytes, why: str) -> SystemFailure:
    return SystemFailure(f"the cache in {shown_text(os.fsdecode(state))} cannot be used: {why}")


# -- stats -----------------------------------------------------------------------------------------------------------


def _stats(args: argparse.Namespace) -> Lines:
    with _folder(_state(args)) as folder:
        if folder is None:
            yield NONE
            return
        yield f"Cache: {shown_text(os.fsdecode(folder.path))}"
        yield from _files(folder)
        yield from _objects(folder)
        names = folder.names()
        seen = read(folder.read(SETTINGS, LIST_MAX), folder.secret)
        yield f"Settings of scans: {len(seen)}" + (f", the last on {_date(seen[0].used)}" if seen else "")
        for name in names:
            if DAMAGED in name:
                yield f"Set aside: {shown_text(name)}, {human(folder.size(name))}"
            elif name.startswith(JOURNAL) and not name.endswith(".lock"):
                yield f"Journal of an unfinished scan: {shown_text(name)}, {human(folder.size(name))}"


def _files(folder: Folder) -> Lines:
    try:
        fd = folder.open(FILES)
    except FileNotFoundError:
        yield "Files: none is remembered yet"
        return
    try:
        file = cache.File(fd, folder.secret)
        stats = file.stats()
        each = f", {stats.size / stats.facts:.0f} bytes for each" if stats.facts else ""
        yield f"Files: {stats.facts:,}{each}; records of directories: {stats.records:,}"
        yield f"Size: {human(stats.size)} of at most {human(stats.limit)}; replaced records: {human(stats.garbage)}"
        generations = sorted(file.generations().items(), key=lambda item: item[1], reverse=True)
        yield f"Generations of signatures: {len(generations)}"
        for generation, used in generations:
            yield f"  {generation.hex()}, {_age(used)}"
    except OSError as error:
        if error.errno != errno.EILSEQ:
            raise
        yield "Files: their sums are damaged; the next scan makes them anew"
    finally:
        os.close(fd)


def _objects(folder: Folder) -> Lines:
    held = objects_held(folder, OBJECTS)
    if held is None:
        yield "Objects: there is no object cache"
        return
    yield f"Objects: {held.records:,}; {human(held.on_disk)} on disk of at most {human(held.size)}"


def _age(used: int) -> str:
    days = int((time.time() - used) // 86400)
    return f"last used on {_date(used)}" + (f", {counted(days, 'day')} ago" if days > 0 else "")


def _date(seconds: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


# -- why -------------------------------------------------------------------------------------------------------------


def _why(args: argparse.Namespace) -> Lines:
    signal.signal(signal.SIGIO, signal.SIG_IGN)  # somebody opens a file for writing while we look whether anybody does
    databases = [absolute(os.fsencode(db)) for db in args.db]
    state = _state(args)
    with open_signatures(databases, state)[0] as image, _folder(state) as folder:
        explainer = Explainer(folder, image.generation, image.delta_table) if folder is not None else None
        table = mounts.read()
        failed = 0
        try:
            for path in args.paths:
                real = os.path.realpath(absolute(os.fsencode(path)))
                try:
                    question = _question(real, table) if stat.S_ISREG(os.stat(real).st_mode) else None
                except OSError as error:
                    yield f"{_shown(real)}: {error.strerror}"
                    failed += 1
                else:
                    yield from _path(real, question, explainer)
        finally:
            if explainer is not None:
                explainer.close()
    if failed:
        raise SystemFailure(f"{counted(failed, 'path')} could not be looked at")


def _path(path: bytes, question: Question | None, explainer: Explainer | None) -> Lines:
    shown = _shown(path)
    if question is None:
        yield f"{shown}: not a regular file; only these are remembered"
        return
    if explainer is None:
        yield f"{shown}: scanned: {NONE}"
        return
    first, *rest = explainer.explain(question)
    yield f"{shown}: {first}"
    if first.startswith("scanned") and question.file_system is not None:
        rest += obstacles(path, question.file, time.time())
    yield from (f"    {line}" for line in rest)


def _shown(path: bytes) -> str:
    return shown_path(path).decode("utf-8", "replace")


def _question(path: bytes, table: mounts.MountTable) -> Question:
    """The file as a walker meets it: through its real directory."""
    folder = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fd = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            file = cache.identity_of(fd)
        finally:
            os.close(fd)
        found = _file_system(folder, table.of(os.path.dirname(path)), table)
        return Question(file, cache.identity_of(folder), found.id, found.why)
    finally:
        os.close(folder)


def _file_system(folder: int, mount: mounts.Mount | None, table: mounts.MountTable) -> filesystems.FileSystem:
    if mount is None:
        return filesystems.FileSystem(None, "its mount is not known")
    seen = filesystems.look(mount, table)
    _, number, unique_number, uuid = walk.file_system(folder)
    found = filesystems.identify(seen, number, unique_number, uuid)
    if found.id is not None and seen.subvolumes:
        return filesystems.FileSystem(walk.subvolume(folder, found.id))
    return found


# -- clear -----------------------------------------------------------------------------------------------------------


def _clear(args: argparse.Namespace) -> Lines:
    with _folder(_state(args), alone=True) as folder:
        yield NONE if folder is None else f"everything is forgotten; {human(clear(folder))} freed"
