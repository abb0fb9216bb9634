"""Compiling: a process of its own that brings compiled signatures up to date; none of its memory is the daemon's.

    python -P -m kavfs.daemon.compiling STATE PATH...     says what came of it in one line of JSON

It yields to everybody else, and ends with the daemon. A daemon lets its fork server make it: see beside.py.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import NamedTuple

from kavfs._native import process
from kavfs.errors import KavfsError, SystemFailure
from kavfs.signatures.image import compile_image

NICE = 10
ANSWER_MAX = 1 << 16  # bytes


class Compiled(NamedTuple):
    """What the process says."""

    error: str = ""  # "" = the image is there
    passing: bool = False  # the error may be over without any change of the databases
    generation: str = ""  # in hexadecimal digits
    notes: tuple[str, ...] = ()


def compiled(state: bytes, paths: Sequence[bytes]) -> Compiled:
    """Compile what is new; errors are an answer."""
    try:
        with compile_image(paths, state) as image:
            return Compiled(generation=image.generation.hex(), notes=image.notes)
    except KavfsError as error:
        return Compiled(str(error), isinstance(error, SystemFailure))


def compile_apart(state: bytes, paths: Sequence[bytes]) -> Compiled:
    """Let the process do it, and wait for it. A daemon that answers already does not wait: see renewing."""
    done = subprocess.run(
        command(state, paths), env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False
    )
    return read_answer(done.stdout, done.returncode)


def command(state: bytes, paths: Sequence[bytes]) -> list[bytes | str]:
    """What is to be run, in environment()."""
    return [sys.executable, "-P", "-m", __name__, state, *paths]


def environment() -> dict[str, str]:
    """Ours, and this very package is found first."""
    package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    return {**os.environ, "PYTHONPATH": package}


def read_answer(data: bytes, code: int) -> Compiled:
    """What the process said before it ended with *code*."""
    try:
        error, passing, generation, notes = json.loads(data)
        return Compiled(str(error), bool(passing), str(generation), tuple(str(note) for note in notes))
    except (ValueError, TypeError):
        how = f"by signal {-code}" if code < 0 else f"with code {code}"
        return Compiled(f"the process that compiles signatures ended {how}", True)


def main() -> None:
    process.follow(signal.SIGKILL, os.getppid())
    os.setpriority(os.PRIO_PROCESS, 0, NICE)
    state, *paths = (os.fsencode(word) for word in sys.argv[1:])
    os.write(1, json.dumps(compiled(state, paths)).encode() + b"\n")


if __name__ == "__main__":
    main()
