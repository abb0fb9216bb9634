"""Build: the C core once as a static library, then one extension per native module; and two small programs in C.

Metadata and dependencies are in pyproject.toml. Environment variables for people who work on the C parts:

    KAVFS_ONLY=walk,match   build only these native modules (quicker while working on one)
    KAVFS_SANITIZE=1        AddressSanitizer and UndefinedBehaviorSanitizer (make asan)
    KAVFS_DEBUG=1           -O0 -g and C asserts
"""

import hashlib
import os
import shlex
import subprocess
from glob import glob
from typing import ClassVar

from Cython.Build import cythonize
from setuptools import Command, Extension, setup

CORE = ["common", "source", "type", "hash", "exe", "picture", "text", "match", "cache", "objects"]
OTHERS = ["object", "ole", "pdf", "flash", "walk", "worker", "dispatch", "process", "basics", "clamav", "action"]
OTHERS += ["serve", "recall"]
PROGRAMS = {"aveclient": ["ext/aveclient/*.c"], "smtpscanner": ["ext/smtprelay/*.c", "ext/aveclient/conf.c"]}
CLIENTS = ("ext/aveclient/", "ext/smtprelay/")
INCLUDES = [f"ext/{d}" for d in (*CORE, *OTHERS)]

FLAGS = ["-std=gnu11", "-Wall", "-Wextra", "-fno-strict-aliasing", "-fvisibility=hidden"]
LINK: list[str] = []
if os.environ.get("KAVFS_DEBUG"):
    FLAGS += ["-O0", "-g"]
else:
    FLAGS += ["-O2", "-g1", "-DNDEBUG", "-D_FORTIFY_SOURCE=2", "-fstack-protector-strong"]
if os.environ.get("KAVFS_SANITIZE"):
    FLAGS += ["-fsanitize=address,undefined", "-fno-omit-frame-pointer", "-U_FORTIFY_SOURCE"]
    FLAGS += ["-fno-sanitize-recover=undefined"]  # a child whose standard error nobody reads must not go on
    LINK += ["-fsanitize=address,undefined"]


def build_digest() -> str:
    """Names what the C parts were built from: compiled signatures and remembered verdicts of another build are not
    used, so that nobody has to think of raising a version."""
    digest = hashlib.sha256()
    for path in sorted(glob("ext/*/*.[ch]") + glob("ext/*/*.pyx") + glob("ext/*/*.px[di]")):
        if path.startswith(CLIENTS):  # decides nothing
            continue
        with open(path, "rb") as file:
            digest.update(path.encode() + b"\0" + file.read())
    return digest.hexdigest()[:16]


def pkg_config(*packages: str) -> dict[str, list[str]]:
    """Include folders and libraries of system packages; an error names what to install."""

    def ask(option: str, prefix: str) -> list[str]:
        words = subprocess.run(
            ["pkg-config", option, *packages], check=True, capture_output=True, text=True
        ).stdout.split()
        return [w.removeprefix(prefix) for w in words if w.startswith(prefix)]

    try:
        return {
            "include_dirs": ask("--cflags-only-I", "-I"),
            "libraries": ask("--libs-only-l", "-l"),
            "library_dirs": ask("--libs-only-L", "-L"),
        }
    except (OSError, subprocess.CalledProcessError):
        raise SystemExit(
            f"kavfs: system libraries are missing ({', '.join(packages)}); `make system` installs them"
        ) from None


MATCHING = pkg_config("libhs", "libcrypto", "libpcre2-8", "libpng", "libjpeg", "libtiff-4")
UNPACKING = pkg_config("libarchive", "zlib", "libdeflate", "liblzma", "gmime-3.0")
FILTERING = pkg_config("libseccomp")
NOTHING = {"include_dirs": [], "libraries": [], "library_dirs": []}

# module -> (folders with its own C files, uses the core library, system libraries)
MODULES = {
    "basics": (["basics"], True, [MATCHING]),
    "programs": (["programs"], True, [MATCHING]),
    "match": (["match"], True, [MATCHING]),
    "worker": (["worker", "object", "ole", "pdf", "flash"], True, [MATCHING, UNPACKING]),
    "walk": (["walk"], True, [NOTHING]),
    "dispatch": (["dispatch"], True, [NOTHING]),
    "process": (["process"], True, [FILTERING]),
    "cache": (["cache"], True, [NOTHING]),
    "clamav": (["clamav"], False, [NOTHING]),
    "recode": (["recode"], False, [UNPACKING]),
    "action": (["action"], False, [NOTHING]),
    "serve": (["serve"], False, [NOTHING]),
    "recall": (["recall"], True, [MATCHING]),
}


def extension(name: str) -> Extension:
    folders, core, systems = MODULES[name]
    sources = [f"ext/{name}/{name}.pyx"]
    for folder in folders:
        if folder not in CORE:
            sources += sorted(glob(f"ext/{folder}/*.c"))
    libraries = [lib for s in systems for lib in s["libraries"]]
    return Extension(
        f"kavfs._native.{name}",
        sources=sources,
        include_dirs=INCLUDES + [d for s in systems for d in s["include_dirs"]],
        library_dirs=[d for s in systems for d in s["library_dirs"]],
        libraries=(["kavcore", "m"] if core else []) + libraries,
        depends=sorted(glob("ext/*/*.[ch]") + glob("ext/*/*.px[di]")),  # the library's C files are linked in
        define_macros=[("KAV_BUILD", f'"{build_digest()}"')] if name == "match" else [],
        extra_compile_args=FLAGS,
        extra_link_args=LINK,
    )


class BuildPrograms(Command):
    """build_scripts: what is installed beside the Python programs. They need libc and nothing else."""

    user_options: ClassVar = [("build-dir=", "d", "where programs are put")]

    def initialize_options(self):
        self.build_dir = None

    def finalize_options(self):
        self.set_undefined_options("build", ("build_scripts", "build_dir"))

    def get_source_files(self):
        return sorted(f for folder in CLIENTS for f in glob(f"{folder}*.[ch]"))

    def run(self):
        os.makedirs(self.build_dir, exist_ok=True)
        version = f'-DKAV_VERSION="{self.distribution.get_version()}"'
        hardened = ["-fPIE", "-pie", "-Wl,-z,relro,-z,now,-z,noexecstack"]
        for name, masks in PROGRAMS.items():
            target = os.path.join(self.build_dir, name)
            sources = [f for mask in masks for f in sorted(glob(mask))]
            command = [*shlex.split(os.environ.get("CC", "gcc")), *FLAGS, version, "-Iext/aveclient", *hardened]
            subprocess.run([*command, *sources, "-o", target, *LINK], check=True)


only = [w for w in os.environ.get("KAVFS_ONLY", "").split(",") if w]
wanted = [m for m in MODULES if not only or m in only]
core_sources = sorted(f for d in CORE for f in glob(f"ext/{d}/*.c"))

setup(
    scripts=list(PROGRAMS),
    cmdclass={"build_scripts": BuildPrograms},
    libraries=[
        (
            "kavcore",
            {
                "sources": core_sources,
                "include_dirs": INCLUDES + MATCHING["include_dirs"],
                "cflags": FLAGS,
                "obj_deps": {"": sorted(glob("ext/*/*.h"))},
            },
        )
    ],
    ext_modules=cythonize(
        [extension(m) for m in wanted],
        build_dir="build/cython",
        include_path=["ext/common"],
        compiler_directives={
            "language_level": "3",
            "embedsignature": True,
            "boundscheck": False,
            "wraparound": False,
        },
    ),
)
