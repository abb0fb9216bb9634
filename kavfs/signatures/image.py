"""Image: compiled signatures, open and ready to be mapped. Satisfies ports.Image.

    image = open_image([b"/etc/signatures"], default_state())

Opening an image whose databases have not changed costs a stat of each of them and reads only the catalog; the
compiled bytes are mapped and checked by whoever matches with them.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
from collections.abc import Callable, Collection, Mapping, Sequence

from kavfs.errors import DatabaseDamaged, DatabaseMissing, SystemFailure, UsageError
from kavfs.ports import Delta, ImagePart
from kavfs.signatures import imagefile
from kavfs.signatures.allow import AllowList, read_allow
from kavfs.signatures.catalog import Catalog, Entry, Part, stamp
from kavfs.signatures.cure import unsealed
from kavfs.signatures.ignore import MARK
from kavfs.signatures.kinds import READ, Form
from kavfs.signatures.sources import Identity, Source, absolute, absolute_path, find_sources
from kavfs.signatures.store import StateFailure, Store

CHANGES_MAX = 3
"""Times that databases which are being exchanged just now (a .cvd that becomes a .cld) are looked for anew."""


def _unread(lines: int) -> str:
    return "its only line cannot be read" if lines == 1 else f"none of its {lines:,} lines can be read"


class Image:
    """Open parts and the catalog that describes them. Close it, or use it in a with statement."""

    def __init__(
        self,
        catalog: Catalog,
        parts: Sequence[ImagePart],
        read_side: Callable[[str], bytes | None],
        deltas: Sequence[Delta] = (),
        table: ImagePart | None = None,
        allow: AllowList | None = None,
    ) -> None:
        self._catalog = catalog
        self._parts = tuple(parts)
        self._read_side = read_side
        self._deltas = tuple(deltas)
        self._table = table
        self.allow = allow or AllowList()

    @property
    def parts(self) -> Sequence[ImagePart]:
        return self._parts

    @property
    def generation(self) -> bytes:
        return self._catalog.generation

    @property
    def signature_count(self) -> int:
        return self._catalog.signature_count

    @property
    def newest(self) -> float:
        return self._catalog.newest

    @property
    def kinds(self) -> Mapping[str, int]:
        counts: dict[str, int] = {}
        for entry in self.databases:
            counts[entry.kind] = counts.get(entry.kind, 0) + entry.signatures
        return counts

    @property
    def demonstration(self) -> bool:
        return self._catalog.demonstration

    @property
    def deltas(self) -> Sequence[Delta]:
        return self._deltas if self.delta_table else ()

    @functools.cached_property
    def delta_table(self) -> bytes:
        """Read when somebody asks. A damaged one is as good as none: then everything is scanned in full."""
        if self._table is None or self._catalog.table is None:
            return b""
        data = os.pread(self._table.fd, self._table.length, self._table.offset)
        return data if hashlib.sha256(data).hexdigest() == self._catalog.table.key else b""

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The database files, in the order in which their matches win."""
        return self._catalog.entries

    @property
    def databases(self) -> tuple[Entry, ...]:
        """What a match's database index means: the files whose segments detect something, each segment once."""
        first: dict[str, Entry] = {}
        for entry in self.entries:
            if entry.signatures:
                first.setdefault(entry.key, entry)
        return tuple(first.values())

    @property
    def catalog(self) -> Catalog:
        return self._catalog

    def side(self, entry: Entry) -> bytes | None:
        """What became of each line of a database file, as segment.tally_from_json takes it."""
        return self._read_side(entry.side)

    def recipes(self, name: str) -> tuple[str, ...]:
        """The recipes (kavfs/recipe.py) that cure what the signature called *name* finds."""
        return self._recipes.get(name.removesuffix(MARK.decode()), ())

    @functools.cached_property
    def _recipes(self) -> dict[str, tuple[str, ...]]:
        """Read when somebody asks. A damaged side file has none: then nothing is cured by it."""
        found: dict[str, tuple[str, ...]] = {}
        for entry in self.entries:
            if READ.get(entry.kind) is Form.RECIPES:
                for name, line in unsealed(self.side(entry)):
                    found[name] = (*found.get(name, ()), line)
        return found

    @property
    def notes(self) -> tuple[str, ...]:
        """What the administrator should know: files of which nothing could be read, though they hold lines, and an
        allow list that is not used."""
        unread = tuple(
            f"{os.fsdecode(entry.place)}: {_unread(entry.malformed)}"
            for entry in self.entries
            if entry.malformed and not entry.taken
        )
        return (*unread, *self.allow.notes)

    def close(self) -> None:
        parts = [*self._parts, *(part for delta in self._deltas for part in delta.parts), self._table]
        for fd in {part.fd for part in parts if part is not None}:
            os.close(fd)
        self._parts, self._deltas, self._table = (), (), None

    def __enter__(self) -> Image:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def no_image(state: str | bytes) -> Image:
    """Without any signature, for scans that do not ask the native engine; what *state* allows is allowed there too."""
    return Image(Catalog(stamp(), (), ()), (), lambda side: None, allow=read_allow(os.fsencode(state)))


def open_image(
    paths: Sequence[str | bytes],
    state: str | bytes,
    *,
    distrust: bool = False,
    used: Collection[bytes] | None = None,
) -> Image:
    """Open the image of all databases on *paths*, compiling into the folder *state* what is new or has changed.

    A path is a folder of databases, a database file, or (alone) an image file. While another process compiles the
    same image, the one from before is opened; where there is none, this waits. With *distrust* every compiled part is
    read and checked, and made again when damaged: for callers whose matcher has refused the image. *used* are the older
    generations for which records are kept; None stands for whatever the state folder knows. What the allow list in
    *state* says is part of the image.

    Raises DatabaseMissing, DatabaseDamaged, SystemFailure, or UsageError for an image file among other paths, each with
    one line that says what is wrong.
    """
    return _open(paths, state, used, distrust=distrust, wait=False)


def compile_image(paths: Sequence[str | bytes], state: str | bytes, *, used: Collection[bytes] | None = None) -> Image:
    """open_image, but every part is checked, and what another process compiles is waited for."""
    return _open(paths, state, used, distrust=True, wait=True)


def open_current(paths: Sequence[str | bytes], state: str | bytes) -> Image | None:
    """open_image, but None where something had to be compiled."""
    places = absolute(paths)
    allow = read_allow(os.fsencode(state))
    if any(imagefile.is_image(place) for place in places):
        return _open_file(places, allow)
    sources = (*find_sources(places), *allow.sources())
    image = _open_current(Store(absolute_path(state)), _image_name(places), sources)
    if image is not None:
        image.allow = allow
    return image


def open_compiled(paths: Sequence[str | bytes], state: str | bytes) -> Image | None:
    """The image that was compiled last of *paths*, whatever has become of them since; None: there is none. Never
    compiles: for a daemon, which lets another process do that."""
    places = absolute(paths)
    allow = read_allow(os.fsencode(state))
    if any(imagefile.is_image(place) for place in places):
        return _open_file(places, allow)
    image = _open_current(Store(absolute_path(state)), _image_name(places), None)
    if image is not None:
        image.allow = allow
    return image


def _open(
    paths: Sequence[str | bytes], state: str | bytes, used: Collection[bytes] | None, *, distrust: bool, wait: bool
) -> Image:
    places = absolute(paths)
    allow = read_allow(os.fsencode(state)) if state else AllowList()
    if any(imagefile.is_image(place) for place in places):
        return _open_file(places, allow)
    image = _open_databases(places, allow.sources(), state, used, distrust=distrust, wait=wait)
    image.allow = allow
    return image


def _open_databases(
    places: Sequence[bytes],
    allowed: Sequence[Source],
    state: str | bytes,
    used: Collection[bytes] | None,
    *,
    distrust: bool,
    wait: bool,
) -> Image:
    sources = (*find_sources(places), *allowed)
    for _ in range(CHANGES_MAX):
        try:
            return _open_sources(places, sources, state, used, distrust=distrust, wait=wait)
        except (DatabaseMissing, DatabaseDamaged):
            before, sources = sources, (*find_sources(places), *allowed)
            if sources == before:
                raise
    return _open_sources(places, sources, state, used, distrust=distrust, wait=wait)


def _open_sources(
    places: Sequence[bytes],
    sources: Sequence[Source],
    state: str | bytes,
    used: Collection[bytes] | None,
    *,
    distrust: bool,
    wait: bool,
) -> Image:
    """Raises DatabaseMissing or DatabaseDamaged when a source is no longer what it was, too."""
    store = Store(absolute_path(state))
    name = _image_name(places)
    if not distrust and (image := _open_current(store, name, sources)):
        if not _wants_more(image.catalog, used, store):
            return image
        image.close()
        distrust = True  # the lock's last holder cannot have had these generations in mind
    return _renew(store, name, sources, used, distrust=distrust, wait=wait)


def _wants_more(catalog: Catalog, used: Collection[bytes] | None, store: Store) -> bool:
    """Whether records are kept for a generation for which this image could have a delta, and has none."""
    has = {bytes.fromhex(row.generation) for row in catalog.deltas}
    if used is None or has.issuperset(set(used) - {catalog.generation}) or not os.access(store.folder, os.W_OK):
        return False
    # Most starts need none. And no more than this: after an upgrade records are kept that no delta can be made for.
    from kavfs.signatures.history import chosen_rows, read_history

    chosen = chosen_rows(read_history(store), catalog.generation.hex(), used)
    return not has.issuperset(bytes.fromhex(past.generation) for past in chosen)


def _open_file(places: Sequence[bytes], allow: AllowList) -> Image:
    if len(places) > 1:
        raise UsageError("an image file is used alone: it holds everything it was compiled from")
    content = imagefile.read_image(places[0])
    catalog, parts = content.catalog, content.parts
    if sources := allow.sources():
        from kavfs.signatures.allowparts import with_allowed  # readers and compiler: most have nothing to allow

        catalog, parts = with_allowed(catalog, parts, sources)
    return Image(catalog, parts, content.side, allow=allow)


def _image_name(places: Sequence[bytes]) -> str:
    return hashlib.sha256(b"\0".join([stamp().encode(), *places])).hexdigest()


def _open_current(store: Store, name: str, sources: Sequence[Source] | None) -> Image | None:
    """The image as its catalog has it; None unless it is there whole and, given *sources*, made from just these."""
    for _ in range(3):  # a sweep between reading the catalog and opening its parts: look at the new catalog
        catalog = store.catalog(name)
        if catalog is None or (sources is not None and not _is_current(catalog, sources)):
            return None
        if image := _open_parts(store, catalog):
            return image
    return None


def _is_current(catalog: Catalog, sources: Sequence[Source]) -> bool:
    files = [entry for entry in catalog.entries if not entry.member]
    if len(files) != len(sources):
        return False
    return all(
        entry.settled and entry.path == source.path and entry.identity == source.identity
        for entry, source in zip(files, sources, strict=True)
    )


def _open_parts(store: Store, catalog: Catalog) -> Image | None:
    """The image of a catalog; None when one of its parts is not the file that was written."""
    opened: dict[Part, ImagePart] = {}
    for part in catalog.every_part:
        if part in opened:
            continue
        fd = store.open(part.kind, part.key)
        if fd is not None:
            opened[part] = ImagePart(fd, 0, part.length)
        if fd is None or Identity.of(os.fstat(fd)) != part.identity:
            for some in opened.values():
                os.close(some.fd)
            return None
    deltas = [Delta(bytes.fromhex(row.generation), tuple(opened[part] for part in row.parts)) for row in catalog.deltas]
    table = opened[catalog.table] if catalog.table else None
    return Image(catalog, [opened[part] for part in catalog.parts], store.side, deltas, table)


def _renew(
    store: Store,
    name: str,
    sources: Sequence[Source],
    used: Collection[bytes] | None,
    *,
    distrust: bool,
    wait: bool,
) -> Image:
    from kavfs.signatures.delta import with_deltas  # readers and compiler: a start that needs none saves them
    from kavfs.signatures.history import kept_lines
    from kavfs.signatures.renew import renew

    try:
        store.prepare()
        with contextlib.ExitStack() as locks:
            if not locks.enter_context(store.renewing(name, wait=wait)):
                if image := _open_current(store, name, None):
                    return image  # another process renews it just now; until then the rules of before hold
                locks.close()
                locks.enter_context(store.renewing(name, wait=True))
            old = store.catalog(name)
            # Whoever held the lock until now may have done the work.
            if not distrust and (image := _open_current(store, name, sources)):
                return image
            catalog = with_deltas(renew(sources, store, old), old, used, store)
            if catalog != old:
                store.write("images", f"{name}.json", catalog.to_bytes())
            image = _open_parts(store, catalog)
        if catalog != old:
            with contextlib.suppress(StateFailure):  # what cannot be removed now is removed next time
                store.sweep(kept_lines)
    except MemoryError as why:
        raise SystemFailure(f"not enough memory to compile signatures ({why})") from None
    except StateFailure as why:
        if not why.closed:
            raise
        return _use_as_it_is(store, name, sources, why)
    if image is None:
        raise SystemFailure("compiled signatures were removed from the state folder while in use")
    return image


def _use_as_it_is(store: Store, name: str, sources: Sequence[Source], why: StateFailure) -> Image:
    """An image in a state folder that is closed to us: good when it was made from just these bytes, else *why*.

    Its deltas are left alone: nobody could make a damaged one again."""
    from kavfs.signatures.renew import still_valid  # the same start-up saver as in _renew

    catalog = store.catalog(name)
    if catalog is None or not still_valid(catalog, sources, store):
        raise why
    parts = [
        ImagePart(fd, 0, part.length) for part in catalog.parts if (fd := store.open(part.kind, part.key)) is not None
    ]
    return Image(catalog, parts, store.side)
