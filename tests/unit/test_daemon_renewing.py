"""Renewing signatures in a daemon: what is taken up, refused, not lost; with real folders and compilers."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from kavfs.daemon import compiling, renewing
from kavfs.daemon.renewing import Applied, Renewer
from kavfs.daemon.watching import Places
from kavfs.errors import ConfigError
from kavfs.scan.forkserver import ForkServer, Role
from kavfs.scan.roles import run_program
from kavfs.signatures import sources
from kavfs.signatures.allow import Allowed, to_bytes
from kavfs.signatures.image import open_compiled, open_current, open_image

PATIENCE = 60.0
SERVER = ForkServer({"program": Role(run_program)})
QUIET = 0.05


class FakeService:
    """Takes over at once, or says why not."""

    def __init__(self) -> None:
        self.images: list[object] = []
        self.error = ""

    def renew(self, image, allow, told: Callable[[str], None]) -> None:
        self.images.append(image)
        told(self.error)
        image.close()


class Desk:
    """A renewer over two folders, with what it said and did."""

    def __init__(self, folder: Path, **how: object) -> None:
        self.databases = folder / "databases"
        self.state = folder / "state"
        self.databases.mkdir()
        self.rule("a.ndb", "First")
        self.service = FakeService()
        self.notes: list[str] = []
        self.news = asyncio.Event()  # a note, or a change
        self.renewed = 0
        places = Places((os.fsencode(self.databases),), os.fsencode(self.state))
        with open_image(places.databases, places.state) as image:
            self.renewer = Renewer(
                self.service, places, image, image.allow, self._note, self._renewed, quiet=QUIET, server=SERVER, **how
            )

    def _renewed(self) -> None:
        self.renewed += 1
        self.news.set()

    def _note(self, text: str) -> None:
        self.notes.append(text)
        self.news.set()

    def rule(self, file: str, name: str) -> None:
        (self.databases / file).write_text(f"{name}:0:*:{name.encode().hex() * 3}\n")

    async def until(self, done: Callable[[], object]) -> None:
        async def wait() -> None:
            while not done():
                self.news.clear()
                await self.news.wait()

        await asyncio.wait_for(wait(), PATIENCE)

    async def told(self, count: int) -> str:
        """Wait until so many changes have had an end; how the last one ended."""
        await self.until(lambda: sum(self.renewer.counts.values()) >= count)
        assert sum(self.renewer.counts.values()) == count
        return self.renewer.last.result


@contextlib.asynccontextmanager
async def begun(folder: Path, **how: object) -> AsyncIterator[Desk]:
    desk = Desk(folder, **how)
    desk.renewer.begin()
    try:
        yield desk
    finally:
        await desk.renewer.close()


def in_loop(test):
    """A test that is a coroutine."""

    @functools.wraps(test)
    def plain(*args, **fixtures):
        asyncio.run(test(*args, **fixtures))

    return plain


@in_loop
async def test_changed_database_is_taken_up_by_itself(tmp_path):
    async with begun(tmp_path) as desk:
        before = desk.renewer.last
        desk.rule("b.ndb", "Second")
        assert await desk.told(1) == "changed"
        assert before.at == 0.0 < desk.renewer.last.at
        assert desk.renewed == len(desk.service.images) == 1


@in_loop
async def test_database_that_is_renamed_over_another_is_taken_up(tmp_path):
    async with begun(tmp_path) as desk:
        (tmp_path / "fresh").write_text("Other:0:*:414243444546474849\n")
        os.rename(tmp_path / "fresh", desk.databases / "a.ndb")
        assert await desk.told(1) == "changed"


@in_loop
async def test_files_that_are_no_databases_are_nothing(tmp_path):
    async with begun(tmp_path) as desk:
        for name in (".a.ndb.swp", "a.ndb~", "4913", "#a.ndb#", "notes.txt"):
            (desk.databases / name).write_text("x")
        desk.rule("b.ndb", "Second")  # what comes after has come last
        assert await desk.told(1) == "changed"
        assert len(desk.service.images) == 1


@in_loop
async def test_order_without_a_change_is_answered_and_changes_nothing(tmp_path):
    async with begun(tmp_path) as desk:
        desk.renewer.ask()
        assert await desk.told(1) == "unchanged"
        assert desk.service.images == []


@in_loop
async def test_order_without_watching_takes_a_change_up(tmp_path):
    async with begun(tmp_path, watch=False) as desk:
        desk.rule("b.ndb", "Second")
        desk.renewer.ask()
        assert await desk.told(1) == "changed"


@in_loop
async def test_broken_database_changes_nothing_until_it_is_whole(tmp_path):
    async with begun(tmp_path, watch=False) as desk:
        (desk.databases / "z.cvd").write_bytes(b"no head at all" * 100)
        desk.renewer.ask()
        assert await desk.told(1) == "failed"
        assert "z.cvd" in desk.renewer.last.error
        assert any("z.cvd" in note for note in desk.notes)
        assert desk.service.images == []
        (desk.databases / "z.cvd").unlink()
        desk.rule("b.ndb", "Second")
        desk.renewer.ask()
        assert await desk.told(2) == "changed"
        assert desk.renewer.last.error == ""


@in_loop
async def test_folder_that_is_gone_is_an_error_and_its_return_a_change(tmp_path):
    async with begun(tmp_path) as desk:
        os.rename(desk.databases, tmp_path / "away")
        desk.renewer.ask()
        assert await desk.told(1) == "failed"
        assert "does not exist" in desk.renewer.last.error
        desk.databases.mkdir()  # seen by the folder above it, which is watched as long as this one is not there
        desk.rule("a.ndb", "Second")
        assert await desk.told(2) == "changed"


@in_loop
async def test_change_while_another_is_on_its_way_is_not_lost(tmp_path):
    async with begun(tmp_path) as desk:
        held = asyncio.Event()
        compile_ = desk.renewer._compile

        async def slowly() -> compiling.Compiled:
            done = await compile_()
            if not held.is_set():
                desk.rule("c.ndb", "Third")  # after the compiler has seen everything
                held.set()
            return done

        desk.renewer._compile = slowly
        desk.rule("b.ndb", "Second")
        assert await desk.told(2) == "changed"
        with open_compiled((os.fsencode(desk.databases),), os.fsencode(desk.state)) as image:
            assert image.signature_count == 3
        assert len(desk.service.images) == 2


@in_loop
async def test_allowed_path_is_taken_up(tmp_path):
    async with begun(tmp_path) as desk:
        entry = Allowed(1, "path", "/srv/x", None, "ours", 1.0, "root")
        fresh = desk.state / "allow.new"
        fresh.write_bytes(to_bytes([entry]))
        os.chmod(fresh, 0o600)
        os.rename(fresh, desk.state / "allow.json")
        assert await desk.told(1) == "changed"


@in_loop
async def test_service_that_cannot_change_is_tried_again_at_the_next_order(tmp_path):
    async with begun(tmp_path, watch=False) as desk:
        desk.service.error = "no process can be had"
        desk.rule("b.ndb", "Second")
        desk.renewer.ask()
        assert await desk.told(1) == "failed"
        assert desk.renewer.last.error == "no process can be had"
        desk.service.error = ""
        desk.renewer.ask()
        assert await desk.told(2) == "changed"
        assert desk.renewed == 1


@in_loop
async def test_watches_that_cannot_be_had_are_told_and_looked_for_instead(tmp_path, monkeypatch):
    def refuse(self, *_: object, **__: object) -> None:
        raise OSError(28, "inotify watch limit reached")

    monkeypatch.setattr("watchdog.observers.api.BaseObserver.schedule", refuse)
    monkeypatch.setattr(renewing, "LOOK", 0.1)
    async with begun(tmp_path) as desk:
        desk.rule("b.ndb", "Second")
        await desk.until(lambda: desk.service.images)
        limits = [note for note in desk.notes if "watch limit reached" in note]
        assert len(limits) == 1
        assert "every minute" in limits[0]


@in_loop
async def test_settings_come_first_and_their_error_is_one_of_the_change(tmp_path):
    class Settings:
        wrong = True
        applied: list[object] = []  # noqa: RUF012

        def read(self) -> object:
            if self.wrong:
                raise ConfigError("kavfs.conf:3: no such key")
            return "read"

        def apply(self, read: object) -> Applied:
            self.applied.append(read)
            return Applied(desk.renewer._places, crew=True, notes=("SocketMode needs a restart",))

    settings = Settings()
    async with begun(tmp_path, watch=False, settings=settings) as desk:
        desk.renewer.ask()
        assert await desk.told(1) == "failed"
        assert desk.renewer.last.error == "kavfs.conf:3: no such key"
        settings.wrong = False
        desk.renewer.ask()
        assert await desk.told(2) == "changed"  # the same signatures, other workers
        assert settings.applied == ["read"]
        assert "SocketMode needs a restart" in desk.notes


@pytest.mark.parametrize(
    ("data", "code", "said"), [(b"", -9, "by signal 9"), (b"{}", 1, "with code 1"), (b"[1]", 0, "code 0")]
)
def test_compiler_that_says_nothing_is_an_error_that_may_pass(data, code, said):
    answer = compiling.read_answer(data, code)
    assert said in answer.error
    assert answer.passing


def test_image_is_opened_without_compiling(tmp_path):
    desk = Desk(tmp_path)
    places = (os.fsencode(desk.databases),)
    state = os.fsencode(desk.state)
    with open_compiled(places, state) as image:
        before = image.generation
    desk.rule("b.ndb", "Second")
    with open_compiled(places, state) as image:
        assert image.generation == before
    assert open_compiled(places, os.fsencode(tmp_path / "nothing")) is None
    assert not (tmp_path / "nothing").exists()


def test_what_is_new_is_compiled_by_another_process(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "SETTLE_NS", -(1 << 62))
    desk = Desk(tmp_path)
    places, state = (os.fsencode(desk.databases),), os.fsencode(desk.state)
    with open_current(places, state) as image:
        before = image.generation.hex()
    desk.rule("b.ndb", "Second")
    assert open_current(places, state) is None
    made = compiling.compile_apart(state, places)
    assert made.error == ""
    with open_compiled(places, state) as image:
        assert image.generation.hex() == made.generation != before
    (desk.databases / "daily.cvd").write_bytes(b"no head of a pack" * 100)
    assert "daily.cvd" in compiling.compile_apart(state, places).error


@in_loop
async def test_who_orders_again_for_nothing_waits_a_little(tmp_path):
    async with begun(tmp_path) as desk:
        wait, slept = asyncio.sleep, []

        async def slow(seconds: float) -> None:
            slept.append(seconds)
            await wait(seconds)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(asyncio, "sleep", slow)
            for count in (1, 2):
                desk.renewer.ask()
                assert await desk.told(count) == "unchanged"
            desk.rule("b.ndb", "Second")
            desk.renewer.ask()
            assert await desk.told(3) == "changed"
            desk.rule("c.ndb", "Third")
            desk.renewer.ask()
            assert await desk.told(4) == "changed"
        assert [seconds > 0 for seconds in slept[:4]] == [False, True, True, False]
