"""Cache truth: whatever happens to files before, during and after scans, no answer is older than what it is about.

A seeded schedule changes files on several file systems; after every scan each path must have the verdict of what it
holds. The stores are kept from the first scan to the last, and most files rest long enough to be answered from them.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from tests.support.changes import Site, World
from tests.support.disks import Image, Mounts
from tests.support.truth import Product, content, is_evil, stale

BEFORE, DURING, AFTER = 50, 25, 25  # changes of a round
STAYS = 12  # scans that an image stays mounted for
SOON = 0.01  # seconds between two changes during a scan, at most

Truth = dict[bytes, tuple[bool, tuple[int, int]]]  # whether it holds what is looked for; device and inode


class Schedule:
    """Rounds of changes with a scan each. *turn* happens between two scans."""

    def __init__(self, product: Product, world: World, turn: Callable[[], object] = lambda: None) -> None:
        self.product, self.world, self.turn = product, world, turn
        self.over = threading.Event()
        self.changes = 0
        self.known: list[float] = []  # which part was answered from the store, scan by scan

    def run(self, changes: int) -> list[str]:
        """Paths that had a wrong answer, with words."""
        wrong: list[str] = []
        while self.changes < changes and not wrong:
            wrong = [f"round {len(self.known)}: {one}" for one in self.round()]
        return wrong

    def round(self) -> list[str]:
        """Where something happened during the scan, the next one decides."""
        self.turn()
        self.apply(BEFORE)
        truth = self.truth()
        self.world.touched.clear()
        self.over.clear()
        beside = threading.Thread(target=self.disturb)
        found, totals = self.product.scan(beside.start)
        self.over.set()
        beside.join()
        disturbed = frozenset(self.world.touched)
        self.apply(AFTER)  # in the tick in which the scan has ended
        self.known.append(totals.known / totals.files)
        return stale(found, [(path, evil) for path, (evil, inode) in truth.items() if inode not in disturbed])

    def apply(self, count: int) -> None:
        for _ in range(count):
            self.world.change()
        self.changes += count

    def disturb(self) -> None:
        """Beside a scan."""
        for _ in range(DURING):
            if self.over.wait(self.world.random.random() * SOON):
                break
            self.apply(1)

    def truth(self) -> Truth:
        found = {}
        for path in self.world.paths():
            status = os.stat(path)
            found[path] = is_evil(path), (status.st_dev, status.st_ino)
        return found


class Turn:
    """Two images that agree in UUID, inodes, sizes and times, on one device at one mount point, one after the other."""

    def __init__(self, folder: Path, random: Random) -> None:
        self.image = Image(folder / "turn.image", folder / "turn")
        self.site = Site(self.image.mount() / "tree", held=False)
        self.site.root.mkdir()
        self.site.grow(random)
        self.image.unmount()
        self.scans = 0
        self.files = [self.image.file, Path(shutil.copy(self.image.file, folder / "turned.image"))]
        for path in random.sample(self.site.paths(), 40):
            inside = os.fsdecode(os.path.relpath(path, os.fsencode(self.image.point)))
            self.image.write(f"/{inside}", content(0, True, 200), file=self.files[1])
        self()

    def __call__(self) -> None:
        """Each stays for a few scans, to be remembered."""
        if self.scans % STAYS == 0:
            self.image.unmount()
            self.image.mount(self.files[0])
            self.files.reverse()
        self.scans += 1


@pytest.fixture
def mounts(tmp_path: Path) -> Iterator[Mounts]:
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    made = Mounts(tmp_path)
    try:
        yield made
    finally:
        made.close()


def site(point: Path, random: Random) -> Site:
    made = Site(point / "tree")
    made.root.mkdir()
    made.grow(random)
    return made


@pytest.fixture
def schedule(mounts: Mounts, request: pytest.FixtureRequest) -> Iterator[Schedule]:
    """On the file systems that every Linux has."""
    random = Random(request.node.name)
    disk, coarse = mounts.disk("disk"), mounts.disk("coarse", "ext3")
    overlay = mounts.overlay("overlay", mounts.disk("below"))
    sites = [site(point, random) for point in (disk, coarse, overlay, mounts.mount("memory", "-t", "tmpfs", "none"))]
    bound = mounts.mount("bound", "--bind", disk)
    turn = Turn(mounts.folder, random)
    sites += [Site(bound / "tree"), turn.site]
    world = World(random, sites)
    try:
        yield Schedule(Product(mounts.folder, *(one.root for one in sites)), world, turn)
    finally:
        world.close()
        turn.image.unmount()


def check(schedule: Schedule, changes: int) -> None:
    """The faster the machine, the more rounds fall into the three seconds in which what was changed is not remembered,
    and the less is answered from the store."""
    assert schedule.run(changes) == []
    rest = schedule.known[len(schedule.known) // 2 :]
    assert sum(rest) / len(rest) > 0.1, f"too little was answered from the store to show anything: {schedule.known}"


def test_no_answer_is_stale(schedule: Schedule) -> None:
    check(schedule, 2000)


@pytest.mark.long
def test_no_answer_is_stale_for_long(schedule: Schedule) -> None:
    check(schedule, 20_000)


@pytest.mark.long
@pytest.mark.parametrize("fstype", ["xfs", "btrfs"])
def test_no_answer_is_stale_on_another_file_system(mounts: Mounts, fstype: str) -> None:
    random = Random(fstype)
    sites = [site(mounts.disk(f"disk-{number}", fstype), random) for number in range(3)]
    world = World(random, sites)
    try:
        check(Schedule(Product(mounts.folder, *(one.root for one in sites)), world), 3000)
    finally:
        world.close()
