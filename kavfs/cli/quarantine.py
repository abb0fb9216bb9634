"""kavfs quarantine: what was taken away, files and mail, and backups of what was changed: to look at, to give back, to
judge again."""

from __future__ import annotations

import argparse
import contextlib
import os
import time
from collections.abc import Callable, Generator, Iterator
from types import ModuleType
from typing import TYPE_CHECKING

from kavfs.action.catalogue import BACKUP, KINDS, MESSAGE, Item
from kavfs.action.layout import FLAT, ITEMS, TREE
from kavfs.action.store import Judged, Missing, Store
from kavfs.cli.program import answer
from kavfs.cli.request import Request, absolute, configuration
from kavfs.errors import SystemFailure, UsageError
from kavfs.model import OUTCOMES
from kavfs.options import engine_names
from kavfs.report.names import shown_path, shown_text
from kavfs.report.summary import counted, human
from kavfs.signatures.sources import default_state

if TYPE_CHECKING:
    from kavfs.cli.keeping import Judge

Lines = Generator[str, None, None]

NONE = "the quarantine is empty"
LAYOUTS = {"quarantine": ITEMS, "move": FLAT, "movePath": TREE}
UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register ``quarantine`` and its sub-commands; the parsed arguments then go to run()."""
    parser = subparsers.add_parser("quarantine", help="what was taken away, and backups", description=__doc__)
    commands = parser.add_subparsers(dest="quarantine_command", required=True, metavar="COMMAND")
    made = {
        "list": commands.add_parser("list", help="one line for each item, the oldest first"),
        "show": commands.add_parser("show", help="everything that is known of an item"),
        "restore": commands.add_parser("restore", help="put files back as they were; nothing is written over"),
        "release": commands.add_parser("release", help="send messages to their recipients by ForwardMailer"),
        "export": commands.add_parser("export", help="write the content of an item to a file or a pipe"),
        "delete": commands.add_parser("delete", help="remove items for good"),
        "rescan": commands.add_parser("rescan", help="judge all items with the signatures of now"),
        "prune": commands.add_parser("prune", help="remove what is old, or too much"),
    }
    for name in ("show", "restore", "release", "delete"):
        made[name].add_argument("items", nargs="+", metavar="ITEM", help="its number, or the beginning of it")
    made["export"].add_argument("item", metavar="ITEM", help="its number, or the beginning of it")
    made["export"].add_argument("-o", "--output", default="", metavar="FILE", help="a new file; else standard output")
    made["restore"].add_argument("--to", default="", metavar="PATH", help="another place: a new path, or a folder")
    made["export"].add_argument("--part", default="", metavar="PLACE", help="of a message one part, as show names it")
    made["release"].add_argument(
        "--to", action="append", default=[], metavar="ADDRESS", help="to others instead; the item stays"
    )
    for name in ("restore", "release"):
        made[name].add_argument("--keep", action="store_true", help="the item stays")
    for name in ("list", "rescan", "prune"):
        made[name].add_argument("--kind", choices=KINDS, default="", help="only these items")
    made["list"].add_argument("--path", default="", metavar="PATH", help="only what lay there")
    made["rescan"].add_argument("--db", action="append", default=[], metavar="PATH", help="databases, as for a scan")
    made["rescan"].add_argument("--engine", default="", metavar="LIST", help="who judges, as for a scan")
    made["rescan"].add_argument("--updated", action="store_true", help="only what was not judged by what is known now")
    clean = made["rescan"].add_mutually_exclusive_group()
    clean.add_argument("--restore-clean", action="store_true", help="what is clean now goes back to its place")
    clean.add_argument("--keep-clean", action="store_true", help="it stays, even with RestoreClean=yes")
    made["prune"].add_argument("--days", type=float, metavar="N", help="remove items that are older (default: MaxAge)")
    size = "then the oldest, until the rest is no larger: 10G (default: MaxSize)"
    made["prune"].add_argument("--size", metavar="BYTES", help=size)
    for command in made.values():
        command.add_argument("--state", default="", metavar="DIR", help="state folder (default: the usual one)")
        command.add_argument("--store", default="", metavar="DIR", help="the folder of move or movePath instead")
        command.add_argument("--layout", choices=LAYOUTS, default="", help="of which of the two (default: movePath)")
        command.add_argument("--backups", action="store_true", help="backups, in the folder of BackupPath")
        command.add_argument("-c", "--config", default="", metavar="FILE", help="configuration that names the folders")


def run(args: argparse.Namespace) -> int:
    """Carry out one ``kavfs quarantine`` command; the return value is the exit code."""
    if args.backups:
        args.kind = BACKUP  # in the usual place they lie beside what is in quarantine
    if args.quarantine_command == "export":
        return _export(args)
    commands = {
        "list": _list, "show": _show, "restore": _restore, "release": _release, "delete": _delete, "rescan": _rescan,
        "prune": _prune,
    }  # fmt: skip
    output = answer()
    with contextlib.closing(commands[args.quarantine_command](args)) as lines, contextlib.suppress(BrokenPipeError):
        try:
            for line in lines:
                output.write(line.encode("utf-8", "backslashreplace") + b"\n")
        finally:  # what was done before an error stands
            output.flush()
    return 0


@contextlib.contextmanager
def _store(args: argparse.Namespace) -> Iterator[Store | None]:
    """The store that is meant; None: there is none."""
    folder, layout = _folder(args)
    try:
        store = Store(folder, layout=layout, create=False)
    except FileNotFoundError:
        if args.store:
            raise SystemFailure(f"there is no store {shown_text(args.store)}") from None
        yield None
        return
    with store:
        yield store


def _folder(args: argparse.Namespace) -> tuple[bytes, str]:
    """The folder that is meant and its layout: where a scan with the same configuration stores."""
    if args.store:
        return absolute(os.fsencode(args.store)), LAYOUTS[args.layout or "movePath"]
    request = _request(args)
    if args.backups:
        folder = request.backups(request.state)
        if not folder:
            raise UsageError("option --backups: the configuration says BackupPath=no")
        return folder, ITEMS
    return request.quarantine(request.state), ITEMS


def _request(args: argparse.Namespace) -> Request:
    """What a scan with the same configuration would be asked."""
    settings = configuration([os.fsencode(args.config)] if args.config else [])
    state = absolute(os.fsencode(args.state)) if args.state else default_state()
    return Request(settings=settings, databases=(settings.databases,) if settings.databases else (), state=state)


def _is_the_quarantine(args: argparse.Namespace) -> bool:
    """Whether the store is the one of which [quarantine] of the configuration speaks."""
    return not args.store and not args.backups


def _chosen(store: Store | None, word: str) -> tuple[Store, Item]:
    if store is None:
        raise Missing(f"no item {shown_text(word)}: {NONE}")
    return store, store.get(word)


# -- looking -----------------------------------------------------------------------------------------------------------


def _list(args: argparse.Namespace) -> Lines:
    with _store(args) as store:
        path = absolute(os.fsencode(args.path)) if args.path else b""
        items = store.items(args.kind, path) if store is not None else []
        if not items:
            yield NONE if not (args.kind or args.path) else "no such item"
            return
        for item in items:
            clean = "  clean now" if item.good else ""
            size = human(item.facts.size)
            threat = shown_text(item.finding.threat) or "-"
            yield f"{item.id}  {_date(item)}  {item.kind:<10}  {size:>9}  {threat}  {_path(item)}{clean}"
        yield f"{counted(len(items), 'item')}, {human(sum(item.facts.size for item in items))}"


def _show(args: argparse.Namespace) -> Lines:
    with _store(args) as store:
        for word in args.items:
            _, item = _chosen(store, word)
            yield from _facts(item)


def _facts(item: Item) -> Iterator[str]:
    facts, finding = item.facts, item.finding
    yield f"Item: {item.id} ({item.kind})"
    if item.kind == MESSAGE:
        yield from _mail().facts(item)
    else:
        yield f"Path: {_path(item)}"
    if facts.place != facts.path:
        yield f"Place: {shown_path(facts.place).decode('utf-8', 'replace')}"
    word = OUTCOMES[finding.status].word.lower()
    yield f"Threat: {shown_text(finding.threat) or '-'}, {word}, engine {finding.engine}"
    if finding.generation:
        yield f"Signatures: {finding.generation.hex()}"
    yield f"Since: {_date(item)}, by user {item.who}"
    if item.judged is not None:
        yield f"Judged again: {OUTCOMES[item.judged].word.lower()}"
    yield f"Size: {facts.size:,} bytes, SHA-256 {item.sha256.hex()}"
    if item.kind == MESSAGE:
        return
    modified = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(facts.mtime_ns // 10**9))
    yield f"Owner: {facts.uid}:{facts.gid}, mode {facts.mode:04o}, modified {modified}"
    names = [name for name, _ in facts.xattrs] + (["access list"] if facts.acl else [])
    if names:
        yield f"Attributes: {', '.join(shown_text(name) for name in names)}"


def _path(item: Item) -> str:
    if item.kind == MESSAGE:
        return str(_mail().in_line(item))
    return shown_path(item.facts.path).decode("utf-8", "replace")


def _date(item: Item) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(item.added_ns // 10**9))


# -- acting ------------------------------------------------------------------------------------------------------------


def _restore(args: argparse.Namespace) -> Lines:
    to = absolute(os.fsencode(args.to)) if args.to else b""
    if to and len(args.items) > 1 and not os.path.isdir(to):
        raise UsageError("several items can be restored to a folder only")
    with _store(args) as store:
        for word in args.items:
            found, item = _chosen(store, word)
            target = os.path.join(to, os.path.basename(item.facts.place)) if to and os.path.isdir(to) else to
            place, missing = found.restore(item.id, target or None, keep=args.keep)
            lost = f" (not given back: {', '.join(missing)})" if missing else ""
            yield f"{item.id}  restored  {shown_path(place).decode('utf-8', 'replace')}{lost}"


def _release(args: argparse.Namespace) -> Lines:
    with _store(args) as store:
        for word in args.items:
            found, item = _chosen(store, word)
            yield f"{item.id}  released  {_mail().release(found, item, args.to, args.config, args.keep)}"


def _mail() -> ModuleType:
    """All that only who has messages in quarantine needs."""
    from kavfs.cli import releasing

    return releasing


def _write(store: Store, item: Item, place: str, fd: int) -> None:
    if place:
        _mail().part(store, item, place, fd)
    else:
        store.export(item.id, fd)


def _export(args: argparse.Namespace) -> int:
    with _store(args) as store:
        found, item = _chosen(store, args.item)
        if not args.output:
            if os.isatty(1):
                raise UsageError("an item is not written to a terminal: name a file with -o")
            _write(found, item, args.part, 1)
            return 0
        name = absolute(os.fsencode(args.output))
        try:
            fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise SystemFailure(f"{shown_text(args.output)} cannot be made: {error.strerror}") from None
        try:
            _write(found, item, args.part, fd)
            os.fsync(fd)
        except BaseException:
            os.unlink(name)  # half an item is none
            raise
        finally:
            os.close(fd)
    return 0


def _delete(args: argparse.Namespace) -> Lines:
    with _store(args) as store:
        for word in args.items:
            found, item = _chosen(store, word)
            found.delete(item.id)
            yield f"{item.id}  deleted  {_path(item)}"


def _prune(args: argparse.Namespace) -> Lines:
    size = _bytes(args.size) if args.size is not None else None
    age = args.days * 86400 if args.days is not None else None
    if age is not None and not 0 <= age < 1e12:
        raise UsageError("option --days: that is no number of days")
    with _store(args) as store:
        gone = []
        if store is not None and age is None and size is None and _is_the_quarantine(args):
            settings = _request(args).settings
            age, size = settings.quarantine_max_age or None, settings.quarantine_max_size or None
        if store is not None:
            gone = store.prune(age, size, args.kind)
        for item in gone:
            yield f"{item.id}  deleted  {_path(item)}"
        yield f"{counted(len(gone), 'item')} removed"


def _bytes(word: str) -> int:
    number, unit = (word[:-1], word[-1].upper()) if word[-1:].upper() in UNITS and word[-1:] else (word, "")
    if not number.isdecimal():
        raise UsageError(f"option --size: {shown_text(word)} is no size; 500M and 10G are")
    return int(number) * UNITS[unit]


def _rescan(args: argparse.Namespace) -> Lines:
    with _store(args) as store:
        if store is None or not store.items(args.kind):
            yield NONE
            return
        notes: list[str] = []
        clean = restored = 0
        request = _judging_request(args)
        configured = request.settings.restore_clean and _is_the_quarantine(args) and not args.keep_clean
        restore = args.restore_clean or configured
        with _judge(request, notes.append) as judge:
            items = store.waiting(judge.known) if args.updated else store.items(args.kind)
            items = [item for item in items if args.kind in ("", item.kind)]
            for judged in store.rescan(judge.rescan, items, restore=restore, engines=judge.engines, known=judge.known):
                clean += judged.item.good
                restored += judged.restored
                yield _outcome(judged)
        yield from (f"note: {shown_text(note)}" for note in notes)
        yield f"{counted(clean, 'item')} clean now, {restored} restored"
        if clean > restored and not restore:
            yield "--restore-clean gives back what is clean now; `kavfs quarantine restore` single items"


def _outcome(judged: Judged) -> str:
    word = OUTCOMES[judged.result.status].word if judged.result is not None else "not judged"
    text = shown_text(judged.text)
    end = f"  restored to {text}" if judged.restored else f"  {text}" if text else ""
    return f"{judged.item.id}  {word}  {_path(judged.item)}{end}"


def _judging_request(args: argparse.Namespace) -> Request:
    """_request() with the options of rescan."""
    request = _request(args)
    if args.db:
        request.databases = tuple(absolute(os.fsencode(path)) for path in args.db)
    if args.engine:
        try:
            request.settings = request.settings._replace(engines=engine_names(args.engine))
        except ValueError as error:
            raise UsageError(f"option --engine: {error}") from None
        request.engines_named = True
    return request


@contextlib.contextmanager
def _judge(request: Request, note: Callable[[str], None]) -> Iterator[Judge]:
    from kavfs.cli.keeping import judging  # all this only for who judges again
    from kavfs.cli.running import choose_engines, open_for

    engines = choose_engines(request)
    with open_for(request, engines, None)[0] as image:
        for text in (*engines.notes, *image.notes):
            note(text)
        with judging(image, engines, request.scan_options((), False, engines.uses), note) as judge:
            yield judge
