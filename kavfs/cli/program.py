"""Program: what is the same for every program of ours: words in as bytes, messages, the exit code out."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

from kavfs.errors import KavfsError, SystemFailure
from kavfs.report.names import shown_text

if TYPE_CHECKING:
    from kavfs.report.output import Output

FAILED = SystemFailure.exit_code


def run_program(name: str, program: Callable[[Sequence[bytes]], int]) -> int:
    """Runs *program* with the command line's words and returns its exit code; errors become one line each."""
    try:
        if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
            signal.signal(signal.SIGINT, signal.default_int_handler)  # main() has put it aside while we were imported
        _open_standard_streams()
        return program([os.fsencode(word) for word in sys.argv[1:]])
    except KavfsError as error:
        say(name, str(error))
        return error.exit_code
    except KeyboardInterrupt:
        say(name, "interrupted")
        return FAILED
    except BrokenPipeError:
        return FAILED  # whoever read our output has gone; there is nobody to tell
    except Exception:
        import traceback  # only a defect of ours pays for it

        say(name, f"a defect in kavfs stopped the program:\n{traceback.format_exc()}", escape=False)
        return FAILED


def leave(code: int) -> NoReturn:
    """End the program now. Everything was flushed by those who wrote it and every child has been waited for; the
    interpreter's own tidying up would only add 10 ms, a tenth of what a scan of one small file takes."""
    for stream in filter(None, (sys.stdout, sys.stderr)):  # None: closed before we began
        with suppress(OSError, ValueError):  # closed, full, or nobody reads it: said already where it matters
            stream.flush()
    os._exit(code)


def say(name: str, text: str, escape: bool = True) -> None:
    """One line on standard error. If nobody listens there, there is no other place to complain."""
    line = f"{name}: {shown_text(text) if escape else text}\n"
    try:
        os.write(2, line.encode("utf-8", "backslashreplace"))
    except OSError:
        return


def _open_standard_streams() -> None:
    """When a caller has closed 0, 1 or 2, the next file that is opened would get that number and our output."""
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            # The lowest free number, which is this one. A list of paths from a closed stream is an error, not empty.
            os.open(os.devnull, os.O_WRONLY if fd == 0 else os.O_RDWR)
            sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115  # for the whole life of the program


def put(text: str) -> None:
    """Text of our own (help, version, answers) on standard output."""
    output = answer()
    output.write(text.encode("utf-8", "backslashreplace"))
    output.flush()


def answer() -> Output:
    """Standard output for text of our own, to be flushed. Raises SystemFailure when it cannot be written, and
    BrokenPipeError when nobody reads it."""
    from kavfs.report.output import Output  # a scan makes its outputs later, while its processes start

    return Output(1, "standard output", _unwritten, owned=False)


def _unwritten(output: Output, error: OSError) -> None:
    if isinstance(error, BrokenPipeError):
        raise error
    raise SystemFailure(f"cannot write {output.name}: {error.strerror}") from None
