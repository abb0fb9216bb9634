"""Engines with a signature for EICAR each, as the contract suite and others ask them."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from kavfs.engine.choose import module_of
from kavfs.engine.contract import Budget, Engine, Finding
from kavfs.limits import Limits
from kavfs.model import Switch
from kavfs.options import EVERYTHING, EnginePlaces
from kavfs.record import asdict
from tests.support.clamd import real_clamd
from tests.support.programs import EICAR

RULE = 'rule Test_Eicar { strings: $a = "EICAR-STANDARD" $b = "TEST-FILE!$H+H*" condition: $a at 28 and $b }\n'
NAMES = {
    "clamav": "Test.Eicar.UNOFFICIAL",
    "clamd": "Test.Eicar.UNOFFICIAL",
    "yara": "YARA.Test_Eicar.UNOFFICIAL",
}


@dataclass
class Bench:
    """One engine, ready to be asked."""

    name: str
    engine: Engine
    places: EnginePlaces

    def __call__(self, path: Path, seconds: float = 30.0, **budget: Callable[[int], None]) -> Finding:
        fd = os.open(path, os.O_RDONLY)
        try:
            return self.ask(fd, seconds, **budget)
        finally:
            os.close(fd)

    def ask(self, fd: int, seconds: float = 30.0, **budget: Callable[[int], None]) -> Finding:
        return self.engine.scan(fd, os.fstat(fd).st_size, Budget(seconds, **budget))


def write_signatures(folder: Path) -> tuple[Path, Path]:
    """Folders of databases and of rules."""
    databases, rules = folder / "databases", folder / "rules"
    databases.mkdir()
    rules.mkdir()
    (databases / "test.hdb").write_text(f"{hashlib.md5(EICAR).hexdigest()}:{len(EICAR)}:Test.Eicar\n")
    (databases / "body.ndb").write_text("Test.Body:0:*:" + b"a body of a test, found".hex() + "\n")
    (rules / "test.yar").write_text(RULE)
    return databases, rules


def scan_setup(folder: Path, limits: Limits = Limits(), switches: Switch = EVERYTHING) -> dict[str, object]:  # noqa: B008
    """What a worker's set-up has besides the offer's own."""
    return {
        "limits": asdict(limits),
        "switches": int(switches | Switch.ALL_MATCH),
        "user": None,
        "spill_dir": os.fsencode(folder).decode("latin-1"),
    }


def installed(name: str) -> bool:
    """Whether what the engine needs is on this machine (make system-test)."""
    return name != "clamd" or shutil.which("clamd") is not None


@contextmanager
def bench(
    name: str,
    folder: Path,
    *,
    limits: Limits = Limits(),  # noqa: B008
    switches: Switch = EVERYTHING,
) -> Iterator[Bench]:
    databases, rules = write_signatures(folder)
    spill = folder / "spill"
    spill.mkdir()
    with ExitStack() as stack:
        address = ""
        if name == "clamd":
            path, _ = stack.enter_context(real_clamd(folder, databases))
            address = os.fspath(path)
        state = os.fsencode(folder / "state")
        places = EnginePlaces((), state, os.fsencode(databases), address, os.fsencode(rules))
        module = module_of(name)
        engine = module.make({**scan_setup(spill, limits, switches), **module.offer(places).setup})
        stack.callback(engine.close)
        engine.begin()
        yield Bench(name, engine, places)


def wait_until(true: Callable[[], bool], patience: float = 20.0) -> None:
    """For what shows itself in no other way."""
    end = time.monotonic() + patience
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)
