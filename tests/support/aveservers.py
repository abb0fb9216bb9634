"""aveserver with settings of a test's choice, in a process of its own.

    with aveserver(folder, alert_unscanned=True) as ave: ...             the real workers, signatures of our own
    with aveserver(folder, gated=True, objects_max=1) as ave: ...        workers that do what the content of a file says

The second kind is for what cannot be had from real workers at will: see tests.support.serving (GATE, EVIL, DO-ABORT).
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kavfs.daemon.server import Server, open_listeners
from kavfs.daemon.settings import DaemonSettings, Listener
from kavfs.limits import Limits
from kavfs.options import EVERYTHING, ScanOptions, WalkOptions
from kavfs.scan import roles
from kavfs.scan.forkserver import ForkServer, Role
from kavfs.scan.opening import Openers
from kavfs.scan.service import Service, ServiceSettings
from kavfs.signatures.allow import AllowList
from kavfs.signatures.image import open_image
from tests.support.kavscanner import LONGEST, environment
from tests.support.programs import EICAR
from tests.support.serving import GenerationImage, run_gated_worker

PUA, ODDITY = b"this text stands for unwanted software", b"this text stands for what a heuristic finds"
NAMES = {"Test.Eicar": EICAR, "PUA.Test.Adware": PUA, "Heuristics.Test.Oddity": ODDITY}
OF_SERVICE = ("objects_max", "queue_max", "deadline")


@contextmanager
def aveserver(folder: Path, *, gated: bool = False, **settings: Any) -> Iterator[Path]:
    """The socket of one that answers. Settings are those of ServiceSettings, Limits and DaemonSettings."""
    folder.mkdir(exist_ok=True)
    databases = folder / "databases"
    databases.mkdir(exist_ok=True)
    rows = "".join(f"{name}:0:*:{content.hex()}\n" for name, content in NAMES.items())
    (databases / "own.ndb").write_text(rows)
    wanted = json.dumps({"folder": str(folder), "gated": gated, "settings": settings})
    command = [sys.executable, "-m", "tests.support.aveservers", wanted]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=environment(folder), cwd=folder
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            yield folder / "ave"
        finally:
            process.terminate()
            process.wait(LONGEST)


def main(wanted: dict[str, Any]) -> None:
    folder, settings = Path(wanted["folder"]), wanted["settings"]
    own = {name: settings.pop(name) for name in OF_SERVICE if name in settings}
    limits = Limits(**{name: settings.pop(name) for name in tuple(settings) if name in vars(Limits())})
    options = ScanOptions(WalkOptions(()), limits, EVERYTHING, jobs=1)
    made = ServiceSettings(options, os.fsencode(folder / "state"), cache=False, **own)
    listener = Listener("ave", os.fsencode(folder / "ave"), mode=0o666)
    daemon = DaemonSettings((listener,), **{"drain": 0.0, **settings})
    if wanted["gated"]:
        server = ForkServer({"worker": Role(run_gated_worker, takes_image=True), "opener": Role(roles.run_opener)})
        service = Service(server, GenerationImage(), AllowList(), made)
    else:
        server = roles.start_server()
        image = open_image([os.fsencode(folder / "databases")], made.state)
        service = Service(server, image, image.allow, made)
    try:
        asyncio.run(serve(daemon, service, Openers(server)))
    finally:
        server.close()


async def serve(settings: DaemonSettings, service: Service, openers: Openers) -> None:
    server = Server(settings, service, openers, lambda *words: None)
    server.begin(open_listeners(settings))
    print("ready", flush=True)
    await server.run()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
