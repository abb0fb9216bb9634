"""kavfs mta: what is integrated and removed is as it was, to the byte, whatever happens on the way. Real
configurations, and the real programs that read them."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kavfs.mail.mta import files, kept, postfix_read, targets
from tests.support import mtas
from tests.support.mtas import Machine

CASES = [
    *((mtas.postfix_of_debian, "postfix", way) for way in ("daemon", "proxy", "milter")),
    *((mtas.postfix_by_hand, "postfix", way) for way in ("daemon", "spawn", "proxy", "milter")),
    *((mtas.exim_template, "exim", way) for way in ("daemon", "command")),
    (mtas.exim_split, "exim", "daemon"),
    (mtas.exim_example, "exim", "daemon"),
    *((mtas.exim_small, "exim", way) for way in ("daemon", "command")),
    *((mtas.sendmail_of_debian, "sendmail", way) for way in ("milter", "mailer")),
    (mtas.sendmail_with_filter, "sendmail", "milter"),
]
FORMS = [CASES[3], CASES[7], CASES[9], CASES[10], CASES[-1]]
EDITED = {
    "postfix": "etc/postfix/main.cf",
    "exim": "etc/exim4/exim4.conf",
    "sendmail": "etc/mail/sendmail.cf",
}

cases = pytest.mark.parametrize(("made", "name", "way"), CASES, ids=[f"{c[0].__name__}-{c[2]}" for c in CASES])
forms = pytest.mark.parametrize(("made", "name", "way"), FORMS, ids=[f"{c[0].__name__}-{c[2]}" for c in FORMS])

Made = Callable[[Machine], None]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """In memory: everything is written with fsync(2)."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as top:
        monkeypatch.setattr(tempfile, "tempdir", top)
        found = Machine(Path(top), monkeypatch)
        found.put("etc/passwd", "root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n")
        yield found


def integrate(machine: Machine, name: str, way: str) -> int:
    return machine.mta("integrate", name, "--way", way, "--user", "nobody")


@cases
def test_what_is_integrated_and_removed_is_as_it_was(
    machine: Machine, made: Made, name: str, way: str, capfd: pytest.CaptureFixture[str]
) -> None:
    made(machine)
    before = machine.tree()
    assert integrate(machine, name, way) == 0
    once = machine.tree()
    assert once != before
    assert {path: once[path][:2] for path in before} == {path: before[path][:2] for path in before}
    assert integrate(machine, name, way) == 0
    assert "is integrated so already" in capfd.readouterr().out
    assert machine.tree() == once
    assert machine.mta("detect", "--state", "/var/lib/kavfs") == 0
    assert f"integrated ({way})" in capfd.readouterr().out
    assert machine.mta("remove", name) == 0
    assert machine.tree() == before
    assert machine.mta("remove", name) == 0
    assert "is not integrated" in capfd.readouterr().out
    assert not (machine.state / "mta" / name).exists()


@forms
@pytest.mark.parametrize("recorded", [True, False], ids=["recorded", "no-record"])
def test_what_others_edited_meanwhile_stays(machine: Machine, made: Made, name: str, way: str, recorded: bool) -> None:
    """Only our parts go; without any record they are known by their marks."""
    made(machine)
    edited = machine.root / EDITED[name]
    if not edited.exists():
        edited = machine.root / "etc/exim4/conf.d/router/200_exim4-config_primary"
        edited = edited if "split" in made.__name__ else machine.root / "etc/exim4/exim4.conf.template"
    before = machine.tree()
    assert integrate(machine, name, way) == 0
    edited.write_bytes(b"# from somebody else\n" + edited.read_bytes())
    if not recorded:
        shutil.rmtree(machine.state)
    assert machine.mta("remove", name) == 0
    place = str(edited.relative_to(machine.root))
    theirs = {**before, place: (*before[place][:2], b"# from somebody else\n" + before[place][2])}
    after = machine.tree()
    if name == "postfix":  # postconf has its own way to part words
        for path in (p for p in after if p.endswith(".cf")):
            assert after[path][:2] == before[path][:2]
            for read in (postfix_read.settings, postfix_read.services):
                assert read(after[path][2].decode("latin-1")) == read(before[path][2].decode("latin-1"))
            assert b"kavfs" not in after[path][2]
        assert after[place][2].startswith(b"# from somebody else\n# Made by hand \xe4\xf6\xfc\n")
    else:
        # A last line that had no end has one now.
        assert {p: f[2].rstrip(b"\n") for p, f in after.items()} == {p: f[2].rstrip(b"\n") for p, f in theirs.items()}


@forms
def test_what_the_checker_does_not_take_is_put_back(
    machine: Machine,
    made: Made,
    name: str,
    way: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    made(machine)
    target = {"postfix": targets.Postfix, "exim": targets.Exim, "sendmail": targets.Sendmail}[name]
    real = target.complaints

    def complaints(self: targets.Postfix) -> list[str]:
        ours = any(b"kavfs" in (content or b"") for content in self.current().values())
        return real(self) or (["line 7: no such thing"] if ours else [])

    monkeypatch.setattr(target, "complaints", complaints)
    before = machine.tree()
    with pytest.raises(kept.Refused, match="nothing was changed: line 7: no such thing"):
        integrate(machine, name, way)
    assert machine.tree() == before
    assert not (machine.state / "mta" / name).exists()
    assert "integrated (" not in capfd.readouterr().out


@pytest.mark.parametrize(
    ("made", "name", "way", "path", "line"),
    [
        (mtas.postfix_by_hand, "postfix", "milter", "etc/postfix/master.cf", b"nonsense\n"),
        (mtas.exim_small, "exim", "daemon", "etc/exim4/exim4.conf", b"nonsense\n"),
        (mtas.exim_split, "exim", "daemon", "etc/exim4/conf.d/main/02_exim4-config_options", b"nonsense\n"),
        (mtas.sendmail_of_debian, "sendmail", "milter", "etc/mail/sendmail.cf", b"Kno nosuchclass x\n"),
    ],
)
def test_a_configuration_that_is_broken_is_left_alone(
    machine: Machine, made: Made, name: str, way: str, path: str, line: bytes
) -> None:
    made(machine)
    place = machine.root / path
    place.write_bytes(line + place.read_bytes())
    before = machine.tree()
    with pytest.raises(kept.Refused, match=r"does not take its configuration as it is|postconf"):
        integrate(machine, name, way)
    assert machine.tree() == before


CALLS = ("open", "fchown", "fchmod", "setxattr", "fsync", "rename", "unlink", "makedirs", "rmdir")


class Killed:
    """The module os for `files` and `kept`: ends the process with SIGKILL before or behind the call number *at*."""

    def __init__(self, at: int) -> None:
        self._left = at

    def __getattr__(self, name: str) -> object:
        real = getattr(os, name)
        return self._counted(real) if name in CALLS else real

    def _counted(self, real: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **named: object) -> object:
            self._end()
            found = real(*args, **named)
            self._end()
            return found

        return call

    def _end(self) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def killed_at(at: int, work: Callable[[], object]) -> bool:
    """Whether *work*, in a process of its own, came as far as that."""
    child = os.fork()
    if child == 0:
        try:
            files.os = kept.os = Killed(at)
            work()
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No program is run twice for the same: old and new are known to be taken."""
    real, known = targets.postfix_run.postconf, {}

    def postconf(texts: dict[str, str], edits: tuple[object, ...]) -> dict[str, str]:
        key = repr((sorted(texts.items()), edits))
        if key not in known:
            known[key] = real(texts, edits)
        return dict(known[key])

    monkeypatch.setattr(targets.postfix_run, "postconf", postconf)
    for target in (targets.Postfix, targets.Exim):
        monkeypatch.setattr(target, "complaints", lambda self: [])


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("made", "name", "way", "what"),
    [(*CASES[3], "integrate"), (*CASES[3], "remove"), (*CASES[9], "integrate")],
    ids=["postfix-integrate", "postfix-remove", "exim-integrate"],
)
def test_whoever_is_killed_leaves_each_file_old_or_new(
    machine: Machine, made: Made, name: str, way: str, what: str
) -> None:
    """Before and behind each call that changes something; the next run ends what was begun."""
    made(machine)
    work = (lambda: integrate(machine, name, way)) if what == "integrate" else (lambda: machine.mta("remove", name))
    back = (lambda: machine.mta("remove", name)) if what == "integrate" else (lambda: integrate(machine, name, way))
    before = machine.tree()
    assert integrate(machine, name, way) == 0
    start, end = machine.tree(), before
    if what == "integrate":
        assert machine.mta("remove", name) == 0
        start, end = end, start
    at = 1
    while killed_at(at, work):
        left = {path: found for path, found in machine.tree().items() if not path.endswith(".kavfs-new")}
        assert all(found in (start.get(path), end.get(path)) for path, found in left.items()), at
        for another, result in ((work, end), (back, start)) if at % 2 else ((back, start),):
            assert another() == 0
            assert machine.tree() == result, at
        at += 1
    assert at > 30
