"""The core of a mail filter with real workers and signatures of our own, in this process."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

from kavfs.limits import Limits
from kavfs.mail.core import Core, Curer
from kavfs.options import EVERYTHING, ScanOptions, WalkOptions
from kavfs.ports import Image
from kavfs.scan import roles
from kavfs.scan.forkserver import ForkServer
from kavfs.scan.service import Service, ServiceSettings
from kavfs.signatures.image import open_image
from tests.support.databases import body
from tests.support.objects import EICAR

Made = TypeVar("Made")
SECONDS = 900  # all that a test does


class Parts(NamedTuple):
    service: Service
    server: ForkServer
    image: Image
    options: ScanOptions

    def run(self, doing: Callable[[Core, Curer], Awaitable[Made]]) -> Made:
        """Something in a loop with the core turning in it."""

        async def inside() -> Made:
            core = Core(self.service)
            curer = Curer(core, self.options, self.image.recipes)
            core.begin()
            try:
                return await asyncio.wait_for(doing(core, curer), SECONDS)
            finally:
                core.close()
                curer.close()

        return asyncio.run(inside())


@contextmanager
def core_parts(folder: Path, **settings: object) -> Iterator[Parts]:
    """*settings*: of ServiceSettings."""
    databases = folder / "databases"
    databases.mkdir()
    (databases / "own.ndb").write_text(body("EICAR-Test-File", EICAR.decode()))
    options = ScanOptions(WalkOptions(()), Limits(), EVERYTHING, jobs=1)
    made = ServiceSettings(options, os.fsencode(folder / "state"), cache=False, **settings)  # type: ignore[arg-type]
    server = roles.start_server()
    try:
        image = open_image([os.fsencode(databases)], made.state)
        service = Service(server, image, image.allow, made)
        try:
            yield Parts(service, server, image, options)
        finally:
            service.close()
    finally:
        server.close()
