"""State folders: two compilers at once, one killed in the middle, damage, no room, no permission."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from kavfs._native import match
from kavfs.errors import DatabaseDamaged, SystemFailure
from kavfs.signatures import renew, sources  # noqa: F401 - loaded before rights are given up
from kavfs.signatures.image import _image_name, open_image
from kavfs.signatures.sources import absolute
from kavfs.signatures.store import Store
from tests.support.databases import bodies, body, compiled, logical, write

CHECKOUT = Path(__file__).resolve().parents[2]
NOBODY = 65534
STOP_AT = "{} = lambda *_, **__: (print('now', flush=True), sys.stdin.readline())"


@pytest.fixture
def settled(monkeypatch):
    """Files made a moment ago count as old enough to be told by their time stamps."""
    monkeypatch.setattr(sources, "SETTLE_NS", -(10**18))


@pytest.fixture
def folder(tmp_path):
    return write(
        tmp_path / "db",
        a_ndb=body("First.Name-1", "first marker of the test"),
        b_ldb=logical("Second.Name-2", "one half of it", "other half of it"),
    )


@pytest.fixture
def state(tmp_path):
    return tmp_path / "state"


def generation(folder, state, **options):
    with open_image([folder], state, **options) as image:
        for part in image.parts:
            assert match.part_is_whole(os.pread(part.fd, part.length, part.offset))
        return image.generation


def compiler(folder, state, before=""):
    """A process that opens the image once it gets a line, and says which files it has opened."""
    program = f"""
import os, sys
from kavfs.signatures import groups, image, store
print("started", flush=True)
sys.stdin.readline()
{before}
with image.open_image([sys.argv[1]], sys.argv[2]) as opened:
    print(opened.generation.hex(), *sorted(os.fstat(part.fd).st_ino for part in opened.parts), flush=True)
"""
    path = os.pathsep.join([str(CHECKOUT), *filter(None, [os.environ.get("PYTHONPATH")])])
    process = subprocess.Popen(
        [sys.executable, "-c", program, folder, state],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert process.stdout.readline() == "started\n"
    return process


def go(process):
    process.stdin.write("\n")
    process.stdin.flush()


@contextlib.contextmanager
def image_lock(folder, state):
    """Hold the lock as a process does that compiles this image."""
    store = Store(os.fsencode(state))
    store.prepare()
    with store.renewing(_image_name(absolute([folder])), wait=True) as mine:
        assert mine
        yield


def wait_until_somebody_waits_for(lock):
    inode = f":{os.stat(lock).st_ino} "
    while not any("->" in line and inode in line for line in Path("/proc/locks").read_text().splitlines()):
        os.sched_yield()


# -- several processes -----------------------------------------------------------------------------------------------


def test_of_two_compilers_at_once_one_compiles_and_both_end_well(folder, state):
    write(folder, c_ndb=bodies("Many", 2000))
    processes = [compiler(folder, state) for _ in range(2)]
    for process in processes:
        go(process)
    answers = [process.communicate(timeout=60)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert answers[0] == answers[1]  # the same inodes: nothing was written twice
    assert len(answers[0].split()) == 1 + 4


def test_readers_use_the_old_image_while_another_process_compiles(folder, state, settled):
    old = generation(folder, state)
    with image_lock(folder, state):
        (folder / "a.ndb").write_text(body("Newer.Name-1", "newer marker of the test"))
        assert generation(folder, state) == old
    assert generation(folder, state) != old


def test_without_an_old_image_readers_wait_for_the_compiler(folder, state):
    found = []
    reader = threading.Thread(target=lambda: found.append(generation(folder, state)))
    with image_lock(folder, state):
        reader.start()
        wait_until_somebody_waits_for(next((state / "images").glob("*.lock")))
        assert found == []
    reader.join(60)
    assert found == [generation(folder, state)]


@pytest.mark.parametrize(
    "where",
    [
        # before anything of the image is there, between segments and groups, and in the middle of a file
        "image.Store.prepare",
        "groups.match.build_group",
        "store.os.fsync",
    ],
)
def test_a_compiler_killed_in_the_middle_leaves_a_state_that_works(folder, state, where):
    process = compiler(folder, state, STOP_AT.format(where))
    go(process)
    assert process.stdout.readline() == "now\n"
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert generation(folder, state) == generation(folder, state)
    leftovers = [name for kind in ("segments", "groups", "images") for name in os.listdir(state / kind)]
    assert [name for name in leftovers if name.startswith(".")] == []


def test_a_compiler_killed_while_renewing_leaves_the_old_image(folder, state, settled):
    old = generation(folder, state)
    rules = (folder / "a.ndb").read_text()
    (folder / "a.ndb").write_text(body("Newer.Name-1", "newer marker of the test"))
    process = compiler(folder, state, STOP_AT.format("groups.match.build_group"))
    go(process)
    assert process.stdout.readline() == "now\n"
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    before = compiled(state)
    (folder / "a.ndb").write_text(rules)
    assert generation(folder, state) == old
    assert compiled(state).items() <= before.items()  # nothing had to be compiled


# -- damage ----------------------------------------------------------------------------------------------------------


def damage(path, at=-1):
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def shorten(path):
    os.truncate(path, 100)


def empty(path):
    os.truncate(path, 0)


@pytest.mark.parametrize("kind", ["segments", "groups"])
@pytest.mark.parametrize(
    "how", [damage, os.unlink, lambda path: os.truncate(path, 100), lambda path: os.truncate(path, 0)]
)
def test_a_damaged_part_is_compiled_again(folder, state, settled, kind, how):
    first = generation(folder, state)
    for path in (state / kind).glob("*.bin"):
        how(path)
    assert generation(folder, state) == first


def test_a_part_from_elsewhere_is_compiled_again(folder, state, settled, tmp_path):
    first = generation(folder, state)
    one, other = sorted((state / "segments").glob("*.bin"))
    shutil.copy(one, other)
    assert generation(folder, state) == first
    assert one.read_bytes() != other.read_bytes()


def test_damage_that_time_stamps_hide_is_found_on_distrust(folder, state, settled):
    first = generation(folder, state)
    store, name = Store(os.fsencode(state)), _image_name(absolute([folder]))
    for path in [*(state / "segments").glob("*.bin"), *(state / "groups").glob("*.bin")]:
        damage(path)
    catalog = store.catalog(name)
    parts = tuple(store.part(part.kind, part.key) for part in catalog.parts)
    store.write("images", f"{name}.json", type(catalog)(catalog.stamp, catalog.entries, parts).to_bytes())
    with open_image([folder], state) as image:
        whole = [match.part_is_whole(os.pread(part.fd, part.length, part.offset)) for part in image.parts]
    assert not any(whole)
    assert generation(folder, state, distrust=True) == first


@pytest.mark.parametrize("content", [b"", b"{}", b"0" * 64 + b"\n{}", b"\xff\n\xff"])
def test_a_damaged_catalog_or_side_file_is_made_again(folder, state, settled, content):
    first = generation(folder, state)
    files = [*(state / "images").glob("*.json"), *(state / "segments").glob("*.json")]
    assert len(files) == 3
    for path in files:
        path.write_bytes(content)
    assert generation(folder, state) == first


def test_parts_of_another_library_are_compiled_again_and_removed(folder, state, settled, monkeypatch):
    first = generation(folder, state)
    before = compiled(state)
    monkeypatch.setattr(match, "hs_version", lambda: "another")
    assert generation(folder, state) != first
    assert len(compiled(state)) == len(before)


# -- the system says no ----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def small_disk(size):
    """A file system with room for *size* bytes."""
    place = tempfile.mkdtemp()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "kavfs-test", place]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode:
        os.rmdir(place)
        pytest.skip("needs the right to mount a small file system")
    try:
        yield Path(place)
    finally:
        subprocess.run(["umount", place], check=True)
        os.rmdir(place)


def test_a_full_disk_is_said_in_one_line_and_loses_nothing(folder, settled):
    with small_disk("2m") as disk:
        old = generation(folder, disk / "state")
        rules = (folder / "a.ndb").read_text()
        write(folder, a_ndb=bodies("Many", 60_000))
        with pytest.raises(SystemFailure, match=r"no room left .*state") as refusal:
            open_image([folder], disk / "state")
        assert "\n" not in str(refusal.value)
        assert refusal.value.exit_code == 30
        assert not any(name.startswith(".") for _, _, names in os.walk(disk) for name in names)
        write(folder, a_ndb=rules)
        assert generation(folder, disk / "state") == old


@contextlib.contextmanager
def unprivileged():
    """Not root: permissions hold."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_place():
    """A folder that every user may enter."""
    place = Path(tempfile.mkdtemp())
    place.chmod(0o755)
    yield place
    shutil.rmtree(place)


def test_no_mask_of_the_caller_opens_the_state_to_others(folder, state):
    before = os.umask(0)
    try:
        open_image([folder], state).close()
    finally:
        os.umask(before)
    entries = [state, *state.rglob("*")]
    assert len(entries) > 6
    assert [path for path in entries if path.stat().st_mode & 0o022] == []


def test_a_state_folder_without_permission_is_named(open_place):
    folder = write(open_place / "db", a_ndb=body("First.Name-1", "first marker of the test"))
    state = open_place / "state"
    state.mkdir(0o555)
    with unprivileged(), pytest.raises(SystemFailure, match=f"{state} cannot be used: Permission denied"):
        open_image([folder], state)


def test_a_state_folder_that_may_only_be_read_serves_as_long_as_it_fits(open_place):
    folder = write(open_place / "db", a_ndb=body("First.Name-1", "first marker of the test"))
    state = open_place / "state"
    made = generation(folder, state)
    copy = open_place / "copy"  # other inodes, other time stamps
    shutil.copytree(state, copy)
    for place in [copy, *copy.rglob("*")]:
        place.chmod(0o555)
    with unprivileged():
        assert generation(folder, copy) == made
    (folder / "a.ndb").write_text(body("Newer.Name-1", "newer marker of the test"))
    with unprivileged(), pytest.raises(SystemFailure, match="cannot be used"):
        open_image([folder], copy)
    for place in [copy, *copy.rglob("*")]:
        place.chmod(0o755)


def test_a_database_that_may_not_be_read_is_not_passed_over(open_place):
    folder = write(open_place / "db", a_ndb=body("A-1", "some marker"), b_ndb=body("B-1", "other marker"))
    (folder / "b.ndb").chmod(0)
    state = open_place / "state"
    state.mkdir()
    state.chmod(0o777)
    with unprivileged(), pytest.raises(DatabaseDamaged, match=r"b\.ndb: Permission denied"):
        open_image([folder], state)


def test_a_file_in_the_place_of_the_state_folder_is_named(folder, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemFailure, match=f"{tmp_path}/file/state cannot be used: Not a directory"):
        open_image([folder], tmp_path / "file" / "state")
