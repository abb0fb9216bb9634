"""Databases of real size: 8 million hash and 100,000 body signatures are generated, compiled, opened and changed.

    python -m benchmarks.large_databases [FOLDER] [--hashes N] [--bodies N] [--one-file]

Each step runs in a process of its own, so that its greatest memory is its own. The folder (default: one that is removed
afterwards) needs 3 GB. The shape is that of ClamAV's: two great files that seldom change, small ones that do each day.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from pathlib import Path

CHUNK = 100_000  # lines that are made at once
CHANGE = 500  # lines of an update
RUNS = 5


def hash_lines(seed: int, count: int, width: int) -> Iterator[bytes]:
    """Lines of a .hdb (*width* 16) or .hsb (32) file, in pieces."""
    rng = random.Random(seed)
    for first in range(0, count, CHUNK):
        some = min(CHUNK, count - first)
        digests = rng.randbytes(width * some).hex()
        sizes = [int(rng.lognormvariate(12, 1.5)) + 64 for _ in range(some)]
        yield "".join(
            f"{digests[2 * width * i : 2 * width * (i + 1)]}:{sizes[i]}:Large.Malware.Agent-{first + i}-{seed}:73\n"
            for i in range(some)
        ).encode()


def body_lines(seed: int, count: int) -> Iterator[bytes]:
    """Lines of an .ndb file: half of them plain, the others with gaps and unknown bytes."""
    rng = random.Random(seed)
    targets = (0, 0, 0, 1, 1, 1, 1, 1, 1, 2, 3, 4, 6, 7)
    for first in range(0, count, CHUNK):
        lines = []
        for i in range(first, min(first + CHUNK, count)):
            text = rng.randbytes(rng.randint(16, 60)).hex()
            if i % 4 == 1:
                text = f"{text}*{rng.randbytes(12).hex()}"
            elif i % 4 == 3:
                text = f"{text}??{rng.randbytes(8).hex()}{{2-20}}{rng.randbytes(10).hex()}"
            lines.append(f"Large.Trojan.Body-{i}-{seed}:{rng.choice(targets)}:*:{text}\n")
        yield "".join(lines).encode()


def generate(folder: Path, hashes: int, bodies: int, *, one_file: bool = False) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    daily = 0 if one_file else min(100_000, hashes // 10)
    md5 = 0 if one_file else hashes // 2
    files: dict[str, Iterator[bytes]] = {
        "main.hdb": hash_lines(1, md5, 16),
        "main.hsb": hash_lines(2, hashes - md5 - daily, 32),
        "daily.hsb": hash_lines(3, daily, 32),
        "main.ndb": body_lines(4, bodies - bodies // 10),
        "daily.ndb": body_lines(5, bodies // 10),
    }
    for name, pieces in files.items():
        with (folder / name).open("wb") as file:
            file.writelines(pieces)
        old = time.time() - 3600
        os.utime(folder / name, (old, old))


def change(file: Path, seed: int) -> None:
    """An update: new lines at the end of a file."""
    lines = body_lines(seed, CHANGE) if file.suffix == ".ndb" else hash_lines(seed, CHANGE, 32)
    with file.open("ab") as out:
        out.writelines(lines)


# -- steps, each in a process of its own -------------------------------------------------------------------------------


def compile_step(folder: Path, state: Path) -> str:
    from kavfs.signatures.image import open_image

    with open_image([bytes(folder)], bytes(state)) as image:
        deltas = ", ".join(f"{row.rules:,}" for row in image.catalog.deltas)
        return f"{image.signature_count:,} signatures; new since older generations: {deltas or 'none is known'}"


def ready_step(folder: Path, state: Path) -> str:
    """What a worker does before its first object, several times; the median."""
    from kavfs._native.match import Image
    from kavfs.signatures.image import open_image

    times = []
    for _ in range(RUNS):
        start = time.monotonic()
        with open_image([bytes(folder)], bytes(state)) as opened:
            middle = time.monotonic()
            image = Image([(part.fd, part.offset, part.length) for part in opened.parts])
            times.append((time.monotonic() - start, middle - start))
            length = sum(part.length for part in opened.parts)
        del image
    whole, opening = sorted(times)[RUNS // 2]
    return f"{1000 * whole:.1f} ms, {1000 * opening:.1f} of them to find and open {length / 1e6:,.0f} MB of parts"


def measured(what: str, step: Callable[[Path, Path], str], folder: Path, state: Path) -> None:
    """Run a step in a fresh process and print what it took."""
    context = get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(step, folder, state, sender))
    process.start()
    sender.close()
    seconds, busy, peak, text = receiver.recv()
    process.join()
    print(f"{what:<32} {seconds:6.2f} s ({busy:6.2f} of a CPU) {peak / 1024:6,.0f} MB peak   {text}", flush=True)


def _run(step: Callable[[Path, Path], str], folder: Path, state: Path, sender) -> None:  # type: ignore[no-untyped-def]
    start = time.monotonic()
    text = step(folder, state)
    seconds = time.monotonic() - start
    usage = resource.getrusage(resource.RUSAGE_SELF)
    sender.send((seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss, text))


def run(root: Path, hashes: int, bodies: int, *, one_file: bool) -> None:
    folder, state = root / "databases", root / "state"
    generate(folder, hashes, bodies, one_file=one_file)
    size = sum(path.stat().st_size for path in folder.iterdir())
    print(f"{hashes:,} hash and {bodies:,} body signatures, {size / 1e6:,.0f} MB of text", flush=True)
    time.sleep(2.5)  # files so new are not trusted to be unchanged and would be read again
    measured("compile all", compile_step, folder, state)
    measured("nothing has changed", compile_step, folder, state)
    measured("ready in a worker", ready_step, folder, state)
    for number, name in enumerate(("daily.ndb", "daily.hsb", "main.ndb", "main.hsb"), 10):
        change(folder / name, number)
        time.sleep(2.5)
        measured(f"{CHANGE} lines more in {name}", compile_step, folder, state)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--hashes", type=int, default=8_000_000)
    parser.add_argument("--bodies", type=int, default=100_000)
    parser.add_argument("--one-file", action="store_true", help="all hash signatures in one file")
    args = parser.parse_args()
    if args.folder:
        run(args.folder, args.hashes, args.bodies, one_file=args.one_file)
        return
    with tempfile.TemporaryDirectory(prefix="kavfs-large-") as folder:
        run(Path(folder), args.hashes, args.bodies, one_file=args.one_file)


if __name__ == "__main__":
    main()
