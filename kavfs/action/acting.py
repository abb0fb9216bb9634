"""Acting: a report that does something about results before it hands them on.

    report = Acting(report, policy, places, stores, curer=curer, rescan=rescan, ...)

Every result that the policy concerns is acted upon at once, whether it was scanned now or answered from a cache: cured,
and then the list of its status. What was done, or why not, stands in the result that is handed on (``deeds``), with the
status that it has now: Cured, or CureFailed, which counts as infected. The first failure ends the list. Each act is one
on the scanned file: `Places.open` holds it by descriptor, and whoever wants something else done with another file of
that name is refused. Only a command of exec has a path; it is looked at just before that the path still means the file,
or nothing, or what an earlier command of the list has put there. What a command has taken away needs no removal.

    cure     the curer writes a new file -> it is scanned -> the old one goes to the backups -> it takes its place
    remove   the file goes to the backups, if there are any, and then its name goes
    move, movePath, quarantine     it is stored encrypted, and then its name goes
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from kavfs.action import hooks
from kavfs.action.catalogue import BACKUP, Finding
from kavfs.action.layout import FLAT, ITEMS, TREE
from kavfs.action.place import ActionError, Held, Places, identity_of
from kavfs.action.policy import AWAY, EXEC, MOVE, MOVE_PATH, QUARANTINE, REMOVE, RENAME, Policy, Step
from kavfs.action.store import Store
from kavfs.errors import KavfsError
from kavfs.model import OUTCOMES, Deed, Identity, Member, Result, Skip, Status, Threat, Totals, gravest
from kavfs.ports import Curer, Report, Rescan
from kavfs.temporary import USUAL, writable

CURE = "cure"
CLOCK_OF_FILES = 5  # CLOCK_REALTIME_COARSE, by which the kernel stamps files; `time` has no name for it

_LAYOUTS = {MOVE: FLAT, MOVE_PATH: TREE, QUARANTINE: ITEMS}


@dataclass(frozen=True)
class Means:
    """What acts need besides the file itself."""

    quarantine: bytes  # folder of the store
    backup: bytes = b""  # folder of the store, maybe the same; b"" = no backups
    temp: bytes = USUAL
    seconds: float = 60.0  # for one command
    generation: bytes = b""  # of the signatures
    curer: Curer | None = None
    rescan: Rescan | None = None
    shown: Callable[[bytes], bytes] = bytes  # a name as reports write it
    quarantine_size: int = 0  # bytes that the quarantine may take; 0 = any


class Acting:
    """Promises ports.Report. close() ends what acts have opened."""

    def __init__(self, report: Report, policy: Policy, places: Places, means: Means) -> None:
        self.wants_clean = report.wants_clean
        self._report = report
        self._policy = policy
        self._places = places
        self._means = means
        self._stores: dict[bytes, Store] = {}
        self._changed: list[tuple[Status, Status]] = []
        self._done: dict[str, int] = {}
        self._failed = 0
        self._ended: dict[Identity, Result] = {}  # files that are no more what they were, by what the scan knew of them
        self._last_name_went = False  # by what is being done

    def add(self, result: Result) -> None:
        if result.status is Status.CLEAN or not self._policy.concerns(result):
            self._report.add(result)
            return
        known = self._ended.get(result.identity) if result.identity is not None else None
        if known is not None:
            self._report_again(result, known)
            return
        self._last_name_went = False
        acted = self._acted(result)
        if self._last_name_went and result.identity is not None:
            self._ended[result.identity] = acted
        acted = acted._replace(deeds=tuple(deed._replace(text=_plain(deed.text)) for deed in acted.deeds))
        if acted.status is not result.status:
            self._changed.append((result.status, acted.status))
        for deed in acted.deeds:
            if deed.done:
                self._done[deed.verb] = self._done.get(deed.verb, 0) + 1
            elif deed.verb != CURE:  # that has a status of its own
                self._failed += 1
        self._report.add(acted)

    def known(self, directory: bytes, names: bytes, sizes: bytes) -> None:
        self._report.known(directory, names, sizes)

    def listed(self, paths: bytes, results: Callable[[], Iterable[Result]]) -> None:
        self._report.listed(paths, results)

    def skip(self, skip: Skip) -> None:
        self._report.skip(skip)

    def note(self, text: str) -> None:
        self._report.note(text)

    def finish(self, totals: Totals) -> None:
        for before, after in self._changed:
            totals.statuses[before] = totals.statuses.get(before, 0) - 1
            totals.statuses[after] = totals.statuses.get(after, 0) + 1
        totals.deeds = dict(self._done)  # whoever gave the totals makes the exit code of them
        totals.deeds_failed = self._failed
        self._report.finish(totals)

    def close(self) -> None:
        """May be called twice."""
        for store in self._stores.values():
            store.close()
        self._stores.clear()

    def _report_again(self, result: Result, known: Result) -> None:
        """The same file by another path, which the scan had read before it was acted upon: nothing is left to be done,
        and its status is that of the first. It has no names left, or this one leads to the cured one."""
        again = _of_status(result, known.status, ()) if known.status is not result.status else result
        path = os.fsdecode(known.path)
        deeds = tuple(
            Deed(deed.verb, done=deed.done, text=_plain(f"already, as {path}") if deed.done else deed.text)
            for deed in known.deeds
            if deed.verb == CURE or deed.verb in AWAY
        )
        if again.status is not result.status:
            self._changed.append((result.status, again.status))
        self._report.add(again._replace(deeds=deeds))

    # ---- one result -------------------------------------------------------------------------------------------------

    def _acted(self, result: Result) -> Result:
        if self._policy.cures(result):
            result = self._cured(result)
        steps = self._policy.steps(result)
        if not steps or any(not deed.done for deed in result.deeds if deed.verb != CURE):
            return result
        return result._replace(deeds=(*result.deeds, *self._carried_out(steps, result)))

    def _carried_out(self, steps: tuple[Step, ...], result: Result) -> list[Deed]:
        deeds: list[Deed] = []
        held: Held | None = None
        verb = steps[0].verb
        since = 0  # when the first command began
        try:
            if result.identity is not None or verb != EXEC:  # what was never opened can still be told of
                held = self._places.open(result.path, result.identity)
            for step in steps:
                verb = step.verb
                if held is None and verb != EXEC:
                    held = self._places.open(result.path, result.identity)
                if held is not None and since and verb != EXEC and held.gone():
                    if verb == REMOVE:
                        continue
                    raise ActionError("a command before has taken it away")
                if verb == EXEC and held is not None and not any(deed.verb in AWAY for deed in deeds):
                    _must_be_ours(held, since)
                if verb == EXEC and not since:
                    since = time.clock_gettime_ns(CLOCK_OF_FILES)
                deeds += self._step(step, held, result)
                if not deeds[-1].done:
                    break
        except (KavfsError, OSError) as error:
            deeds.append(Deed(verb, done=False, text=_text(error)))
        finally:
            if held is not None:
                self._last_name_went |= held.nameless()
                held.close()
        return deeds

    def _step(self, step: Step, held: Held | None, result: Result) -> list[Deed]:
        verb = step.verb
        if verb == EXEC:
            return [self._exec(step, held, result)]
        assert held is not None
        if verb == RENAME and held.name.endswith(step.argument):  # by an earlier scan
            return [Deed(verb, done=True, text="its name ends so already")]
        if verb == RENAME:
            held.rename(held.name + step.argument)
            return [Deed(verb, done=True, text=f"to {os.fsdecode(held.name)}")]
        if verb == REMOVE:
            backup = self._backed_up(held, result)
            return [*backup, Deed(verb, done=True, text=held.remove())]
        store = self._store(step.argument or self._means.quarantine, _LAYOUTS[verb], held)
        item, text = store.take(held, Finding.of(result, self._means.generation))
        where = f"item {item} in {os.fsdecode(store.path)}"
        return [Deed(verb, done=True, text="; ".join(filter(None, (where, text))))]

    def _backed_up(self, held: Held, result: Result) -> list[Deed]:
        if not self._means.backup:
            return []
        try:
            store = self._store(self._means.backup, ITEMS, held)
            item = store.put(held, Finding.of(result, self._means.generation), BACKUP)
        except (KavfsError, OSError) as error:
            raise ActionError(f"it stays as it is, for no backup can be kept: {_text(error)}") from None
        return [Deed("backup", done=True, text=f"item {item} in {os.fsdecode(store.path)}")]

    def _store(self, folder: bytes, layout: str, held: Held) -> Store:
        """The store in *folder*, for that file. What would be the first to be deleted there does not go there."""
        limit = self._means.quarantine_size
        if folder == self._means.quarantine and limit and held.facts.size > limit:
            raise ActionError("it is larger than all that the quarantine may hold")
        if folder not in self._stores:
            self._stores[folder] = Store(folder, layout=layout)
        return self._stores[folder]

    # ---- exec -------------------------------------------------------------------------------------------------------

    def _exec(self, step: Step, held: Held | None, result: Result) -> Deed:
        path = result.path
        if held is not None and os.path.basename(path) != held.name:  # after rename, and where a link led to it
            path = os.path.join(held.folder.path, held.name)
        threat = _gravest(result)
        subject = hooks.Subject(
            path=path,
            virus=threat.name if threat is not None else "",
            status=OUTCOMES[result.status].word,
            listing=self._listing(result),
            shown=self._means.shown(path),
        )
        ran = hooks.run(step.argument, subject, seconds=self._means.seconds, folder=writable(self._means.temp))
        printed = ran.output.splitlines()
        told = [ran.why, (printed[-1] if ran.why else printed[0]) if printed else ""]
        return Deed(EXEC, done=not ran.why, text=": ".join(filter(None, told)))

    def _listing(self, result: Result) -> bytes:
        """What %LIST% names: a line for each threat, as the report has it."""
        lines = []
        for threat in result.threats:
            path = result.path + b"/" + threat.member if threat.member else result.path
            name = "_".join(threat.name.split()).encode("utf-8", "backslashreplace")
            word = OUTCOMES[threat.status].word.encode()
            lines.append(b"%b %b %b\n" % (self._means.shown(path), word, self._means.shown(name)))
        return b"".join(dict.fromkeys(lines))

    # ---- cure -------------------------------------------------------------------------------------------------------

    def _cured(self, result: Result) -> Result:
        try:
            with self._places.open(result.path, result.identity) as held:
                return self._cured_in(held, result)
        except (KavfsError, OSError) as error:
            return _of_status(result, Status.CUREFAILED, (Deed(CURE, done=False, text=_text(error)),))

    def _cured_in(self, held: Held, result: Result) -> Result:
        curer, rescan = self._means.curer, self._means.rescan
        if curer is None or rescan is None:
            raise ActionError("there is nobody who could")
        out = held.temp_file()
        try:
            cured = curer(held.fd, out, result)
            if cured.why:
                raise ActionError(cured.why)
            _must_be_clean(rescan(out, result.path), result)
            backup = self._backed_up(held, result)
            text = held.replace(out)
            self._last_name_went = held.nameless()
            result = result._replace(identity=identity_of(out))
        finally:
            os.close(out)
        names = [os.fsdecode(self._means.shown(member)) for member in cured.changed if member]
        told = "; ".join(filter(None, (f"without {', '.join(names)}" if names else "", text)))
        return _of_status(result, Status.CURED, (*backup, Deed(CURE, done=True, text=told)))


def _must_be_ours(held: Held, since: int) -> None:
    """What a command's path leads to: the file, or what commands that began at *since* have left there (0: none)."""
    if not (held.in_place() or (since and (held.gone() or held.made_since(since)))):
        raise ActionError("it is not there any more, or another file has its name")


def _must_be_clean(now: Result, before: Result) -> None:
    """What the curer left holds nothing, and was looked at no less wholly than what it was made of."""
    threat = _gravest(now)
    if threat is not None:
        raise ActionError(f"what would be left is still {OUTCOMES[now.status].word}: {threat.name}")
    if now.reasons & ~before.reasons:
        raise ActionError("what would be left could not be scanned wholly")


def _of_status(result: Result, status: Status, deeds: tuple[Deed, ...]) -> Result:
    """The result with *status* wherever it was infected."""
    members: tuple[Member, ...] = tuple(
        member._replace(status=status) if member.status is Status.INFECTED else member for member in result.members
    )
    threats = tuple(
        threat._replace(status=status) if threat.status is Status.INFECTED else threat for threat in result.threats
    )
    return result._replace(status=status, members=members, threats=threats, deeds=(*result.deeds, *deeds))


def _gravest(result: Result) -> Threat | None:
    worst = gravest([threat.status for threat in result.threats])
    return next((threat for threat in result.threats if threat.status is worst), None)


def _text(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _plain(text: str) -> str:
    """Text of which every report can make UTF-8; paths in it may hold anything."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
