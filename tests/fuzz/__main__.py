"""Fuzz: build every target under AddressSanitizer and UndefinedBehaviorSanitizer and run it for some seconds; then the
readers that are written in Python (readers.py), whose inputs are the seeds broken blindly.

    python -m tests.fuzz [--seconds N] [--only NAME,...]

With clang and its libFuzzer, inputs are bred by what they reach, and those that reached something new are kept in
build/fuzz/corpus; with gcc alone, mutate.c changes the seeds blindly. What broke a target is kept in build/fuzz/broken.
Exit code 1: something broke.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.fuzz.readers import READERS
from tests.fuzz.targets import TARGETS

CHECKOUT = Path(__file__).resolve().parents[2]
HERE = CHECKOUT / "tests" / "fuzz"
BUILD = CHECKOUT / "build" / "fuzz"
LIBRARIES = (
    *("libhs", "libarchive", "zlib", "libdeflate", "liblzma", "libpcre2-8", "libpng", "libjpeg", "libcrypto"),
    *("libtiff-4", "gmime-3.0"),
)
FLAGS = ["-std=gnu11", "-g", "-O1", "-fno-omit-frame-pointer", "-fno-sanitize-recover=undefined"]
CLANG_FLAGS = [
    "-fsanitize=fuzzer-no-link,address,undefined",
    "-fno-sanitize=pointer-overflow",  # it would not have 0 added to NULL, which every compiler allows
    "-D__SANITIZE_ADDRESS__",  # as gcc says it
]
# What is linked.
FOLDERS = (
    *("common", "source", "type", "hash", "exe", "picture", "text", "match", "object", "ole", "pdf", "flash"),
    *("dispatch", "cache", "serve"),
)
NOT_LINKED = ("unpack.c",)  # sink.c stands in for it
LONGEST = 1 << 16  # bytes of an input
SLOW = 30  # seconds for one input are too many
SHOWN = 4000  # characters of what a broken target said


@functools.cache
def clang() -> str | None:
    """A clang that has libFuzzer."""
    BUILD.mkdir(parents=True, exist_ok=True)
    trial = BUILD / "trial.c"
    trial.write_text("int LLVMFuzzerTestOneInput(const char *d, unsigned long n) { return d && n ? 0 : 0; }\n")
    for name in ("clang", *(f"clang-{version}" for version in range(22, 13, -1))):
        if shutil.which(name) is None:
            continue
        command = [name, "-fsanitize=fuzzer,address,undefined", str(trial), "-o", str(BUILD / "trial")]
        if subprocess.run(command, capture_output=True, check=False).returncode == 0:
            return name
    return None


def asked(option: str) -> list[str]:
    return subprocess.run(["pkg-config", option, *LIBRARIES], check=True, capture_output=True, text=True).stdout.split()


def compiled(source: Path, defines: tuple[str, ...] = (), name: str = "") -> Path:
    """The object of a source, made anew when that, any header or this file is younger."""
    compiler = clang()
    flags = [*FLAGS, *(CLANG_FLAGS if compiler else ["-fsanitize=address,undefined"])]
    target = BUILD / (compiler or "gcc") / f"{source.parent.name}-{name or source.stem}.o"
    target.parent.mkdir(parents=True, exist_ok=True)
    youngest = max(path.stat().st_mtime for path in (source, *headers()))
    if target.exists() and target.stat().st_mtime > youngest:
        return target
    includes = [f"-I{folder}" for folder in sorted(CHECKOUT.glob("ext/*/"))]
    words = [*flags, *(f"-D{d}" for d in defines), *includes, *asked("--cflags")]
    subprocess.run([compiler or "gcc", *words, "-c", str(source), "-o", str(target)], check=True)
    return target


@functools.cache
def headers() -> tuple[Path, ...]:
    return (*CHECKOUT.glob("ext/*/*.h"), *HERE.glob("*.h"), HERE / "__main__.py")


def build(names: list[str]) -> dict[str, Path]:
    """The programs of these targets. Everything of ours goes into a library, from which each takes what it needs."""
    sources = [path for folder in FOLDERS for path in sorted(CHECKOUT.glob(f"ext/{folder}/*.c"))]
    helpers = [HERE / f"{name}.c" for name in ("mutate", *sorted({h for n in names for h in TARGETS[n].helpers}))]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        made = list(pool.map(compiled, [path for path in sources if path.name not in NOT_LINKED]))
        for done in [pool.submit(compiled, path) for path in helpers]:
            done.result()
        library = made[0].parent / "libkav.a"
        library.unlink(missing_ok=True)
        subprocess.run(["ar", "rc", str(library), *map(str, made)], check=True)
        return dict(zip(names, pool.map(lambda name: linked(name, library), names), strict=True))


def linked(name: str, library: Path) -> Path:
    target, compiler = TARGETS[name], clang()
    objects = [compiled(HERE / f"{target.source}.c", target.defines, f"{target.source}-{name}")]
    objects += [compiled(HERE / f"{helper}.c") for helper in (*target.helpers, *(() if compiler else ("mutate",)))]
    sanitize = "-fsanitize=fuzzer,address,undefined" if compiler else "-fsanitize=address,undefined"
    program = library.parent / name
    words = [*map(str, objects), str(library), *asked("--libs"), "-lm", "-o", str(program)]
    subprocess.run([compiler or "gcc", sanitize, *words], check=True)
    return program


def run(name: str, program: Path, seconds: int) -> bool:
    """Whether the target stood it."""
    seeds, kept, broken = (BUILD / kind / name for kind in ("seeds", "corpus", "broken"))
    shutil.rmtree(seeds, ignore_errors=True)
    for folder in (seeds, kept, broken):
        folder.mkdir(parents=True, exist_ok=True)
    for title, content in TARGETS[name].seeds().items():
        (seeds / title).write_bytes(content)
    memory: dict[str, str] = {}
    if clang():
        limits = [f"-max_total_time={seconds}", f"-max_len={LONGEST}", f"-timeout={SLOW}", "-rss_limit_mb=2048"]
        if TARGETS[name].greedy:
            limits.append(f"-malloc_limit_mb={1 << 20}")
            memory = {"ASAN_OPTIONS": "allocator_may_return_null=1:max_allocation_size_mb=512"}
        words = [*limits, "-print_final_stats=1", f"-artifact_prefix={broken}/", str(kept), str(seeds)]
    else:
        words = [str(seconds), "1", *map(str, sorted(seeds.iterdir()))]
    command = [str(program), *words]
    env = {**os.environ, **memory}
    done = subprocess.run(command, cwd=broken, env=env, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        print(f"{name}: BROKEN; the input is in {broken}\n{done.stderr[-SHOWN:]}", flush=True)
        return False
    tried = [line.split()[-1] for line in done.stderr.splitlines() if "number_of_executed_units" in line]
    print(f"{name}: {tried[0] if tried else done.stdout.split()[0]} inputs, nothing broke", flush=True)
    return True


def read(name: str, seconds: int) -> bool:
    """Whether the reader stood it."""
    broken = BUILD / "broken" / name
    broken.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "tests.fuzz.trials", name, str(seconds), str(broken)]
    try:
        done = subprocess.run(
            command, cwd=CHECKOUT, capture_output=True, text=True, errors="replace", timeout=seconds + SLOW, check=False
        )
    except subprocess.TimeoutExpired:
        print(f"{name}: HANGS; the input is in {broken}", flush=True)
        return False
    if done.returncode:
        print(f"{name}: BROKEN; the input is in {broken}\n{done.stderr[-SHOWN:]}", flush=True)
        return False
    print(f"{name}: {done.stdout.strip()} inputs, nothing broke", flush=True)
    return True


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="build and run the fuzz targets")
    every = [*TARGETS, *READERS]
    parser.add_argument("--seconds", type=int, default=10, help="for each target")
    parser.add_argument("--only", default=",".join(every), help="comma-separated, of: " + ", ".join(every))
    options = parser.parse_args()
    names = options.only.split(",")
    if unknown := set(names) - set(every):
        parser.error("unknown: " + ", ".join(sorted(unknown)))
    parsers = [name for name in names if name in TARGETS]
    programs = build(parsers) if parsers else {}
    print(f"{clang() or 'gcc, without libFuzzer'}, {options.seconds} s for each of {len(names)} targets", flush=True)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        stood = list(pool.map(lambda name: run(name, programs[name], options.seconds), parsers))
        stood += pool.map(lambda name: read(name, options.seconds), [name for name in names if name in READERS])
    return 0 if all(stood) else 1


if __name__ == "__main__":
    sys.exit(main())
