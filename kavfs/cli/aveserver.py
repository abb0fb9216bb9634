"""aveserver: the scanner as a service, for programs that speak its own protocol or that of clamd."""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from kavfs.cli.aveserver_options import Wanted, read_options

if TYPE_CHECKING:
    from kavfs.scan.opening import Openers
    from kavfs.scan.service import Service
    from kavfs.signatures.image import Image

PROGRAM = "aveserver"


def main() -> NoReturn:
    """The console script."""
    from kavfs.cli.program import leave, run_program

    leave(run_program(PROGRAM, aveserver))


def aveserver(words: Sequence[bytes]) -> int:
    """Carries out the command line and returns the exit code."""
    from kavfs.cli.program import put

    wanted = read_options(words)
    if wanted.task == "help":
        from kavfs.cli.aveserver_options import usage

        put(usage())
        return 0
    if wanted.task == "version":
        from kavfs.version import VERSION

        put(f"aveserver {VERSION}/RELEASE build #1\n")
        return 0
    return _serve(wanted)


def _serve(wanted: Wanted) -> int:
    from kavfs.scan.roles import start_server

    server = start_server()  # before threads, before anything costly
    try:
        import asyncio

        from kavfs.cli.running import open_signatures
        from kavfs.scan.opening import Openers
        from kavfs.scan.service import Service

        image, state = open_signatures(wanted.databases, wanted.state)
        service = Service(server, image, image.allow, wanted.service(state), _note)
        openers = Openers(server, everybody=wanted.daemon.everybody)
        gc.collect()
        gc.freeze()
        asyncio.run(_run(wanted, service, openers, image, state))
    finally:
        server.close()
    return 0


async def _run(wanted: Wanted, service: Service, openers: Openers, image: Image, state: bytes) -> None:
    from kavfs.daemon.renewing import Renewer
    from kavfs.daemon.server import Server, open_listeners
    from kavfs.daemon.watching import Places
    from kavfs.signatures.sources import absolute, absolute_path, default_databases

    daemon = Server(wanted.daemon, service, openers, _note)
    places = Places(absolute(wanted.databases or default_databases()), absolute_path(state))
    renewer = Renewer(service, places, image, image.allow, _note, daemon.renamed, watch=wanted.daemon.watch)
    daemon.reload = renewer.ask
    daemon.begin(open_listeners(wanted.daemon))
    renewer.begin()
    _note("ready")
    await daemon.run()
    await renewer.close()


def _note(text: str) -> None:
    from kavfs.cli.program import say

    say(PROGRAM, text)
    sys.stderr.flush()


if __name__ == "__main__":
    main()
