"""When a scan begins new objects: signals, its window, and a machine that others need, by pretended /proc and clock."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest

from kavfs.scan import pace as pacing
from kavfs.scan.pace import Pace, Quiet, Turn
from kavfs.scan.pressure import Counters, Stalls, load_average, source_of
from kavfs.scan.stopwatch import GAP, Stopwatch


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Machine:
    """A /proc whose numbers a test sets, and a scan that asks ten times a second."""

    root: str
    clock: Clock = field(default_factory=Clock)
    totals: dict[str, float] = field(default_factory=lambda: {"cpu": 5.0, "io": 7.0, "memory": 9.0})
    others: dict[str, float] = field(default_factory=dict)  # what they wait for: shares
    ours: dict[str, float] = field(default_factory=dict)  # the same for us, while we work
    working: bool = True

    def write(self) -> None:
        folder = Path(self.root, "proc", "pressure")
        folder.mkdir(parents=True, exist_ok=True)
        for name, total in self.totals.items():
            recent = 100 * min(1.0, self.share(name))
            (folder / name).write_text(f"some avg10={recent:.2f} avg60=0.00 avg300=0.00 total={int(total * 1e6)}\n")

    def share(self, name: str) -> float:
        return self.others.get(name, 0.0) + (self.ours.get(name, 0.0) if self.working else 0.0)

    def load(self, value: float) -> None:
        Path(self.root, "proc").mkdir(exist_ok=True)
        Path(self.root, "proc", "loadavg").write_text(f"{value} 0.10 0.20 1/99 1234\n")

    def run(self, quiet: Quiet, seconds: float, in_hand: int = 0) -> float:
        """The share of the time in which work was begun."""
        steps = round(seconds * 10)
        worked = 0
        for _ in range(steps):
            self.write()
            self.working = not quiet.must_wait(in_hand)
            worked += self.working
            self.clock.now += 0.1
            for name in self.totals:
                self.totals[name] += 0.1 * self.share(name)
        return worked / steps


@pytest.fixture
def machine(tmp_path) -> Machine:
    made = Machine(f"{tmp_path}/")
    made.write()
    return made


def polite(machine: Machine, max_load: float = 0.0) -> Quiet:
    return Quiet(Stalls(machine.root), max_load, root=machine.root, clock=machine.clock)


def test_a_quiet_machine_makes_nobody_wait(machine):
    machine.others = {"cpu": 0.2, "io": 0.15, "memory": 0.04}
    assert machine.run(polite(machine), 60) == 1.0


@pytest.mark.parametrize("what", ["cpu", "io", "memory"])
def test_a_machine_that_others_need_makes_us_wait_and_a_little_is_done_all_the_same(machine, what):
    machine.others = {what: 0.5}
    share = machine.run(polite(machine), 120)
    assert 0 < share < 0.1


def test_pressure_of_our_own_costs_a_short_look_now_and_then(machine):
    machine.ours = {"cpu": 0.9, "io": 0.9}
    assert machine.run(polite(machine), 300) > 0.9


def test_the_scan_goes_on_only_when_others_have_been_calm_for_a_while(machine):
    quiet = polite(machine)
    machine.others = {"io": 0.5}
    assert machine.run(quiet, 4) == 0
    machine.others = {"io": 0.15}  # below what made us wait, above what lets us go on
    assert machine.run(quiet, 20) < 0.1
    machine.others = {}
    assert machine.run(quiet, 1) == 0
    machine.run(quiet, 8)
    assert machine.run(quiet, 30) == 1.0


def test_what_is_in_hand_is_waited_for_before_the_machine_is_judged(machine):
    quiet = polite(machine)
    machine.ours = {"io": 0.9}
    machine.run(quiet, 30, in_hand=1)
    assert not machine.working
    machine.run(quiet, 2)
    assert machine.working


def test_above_the_load_average_nothing_at_all_is_begun_and_below_it_only_with_a_margin(machine):
    quiet = Quiet(None, 2.0, root=machine.root, clock=machine.clock)
    machine.load(2.0)
    assert machine.run(quiet, 5) == 1.0
    machine.load(2.01)
    machine.run(quiet, 1.1)
    assert machine.run(quiet, 600) == 0.0
    machine.load(1.9)
    assert machine.run(quiet, 5) == 0.0
    machine.load(1.8)
    machine.run(quiet, 1.1)
    assert machine.run(quiet, 5) == 1.0


def test_the_machine_is_looked_at_once_a_second_at_most(machine, monkeypatch):
    looks = []
    monkeypatch.setattr(pacing, "load_average", lambda root: looks.append(root))
    source = Stalls(machine.root)
    read = source._read
    source._read = lambda: looks.append("") or read()
    machine.run(Quiet(source, 1.0, clock=machine.clock), 10)
    assert len(looks) <= 22


def test_what_cannot_be_read_or_understood_makes_nobody_wait(tmp_path):
    root = f"{tmp_path}/"
    assert load_average(root) is None
    assert Stalls(root).recent() == {}
    folder = tmp_path / "proc" / "pressure"
    folder.mkdir(parents=True)
    (folder / "cpu").write_text("some avg10=much total=5\n")
    (folder / "io").write_text("")
    (folder / "memory").write_text("some avg10=99.00 total=5\n")
    assert Stalls(root).recent() == {"memory": 0.99}
    (tmp_path / "proc" / "loadavg").write_text("\n")
    assert load_average(root) is None
    assert not Quiet(None, 0.5, root=root).must_wait(0)


def fake_psutil(**times: float):
    cpu = SimpleNamespace(user=0.0, system=0.0, nice=0.0, iowait=0.0)
    swap = SimpleNamespace(sin=0, sout=0)
    return SimpleNamespace(cpu_times=lambda: cpu, swap_memory=lambda: swap, cpu_count=lambda: 2, cpu=cpu, swap=swap)


def test_a_kernel_that_does_not_tell_is_judged_by_its_counters(machine):
    psutil = fake_psutil()
    source = Counters(psutil, machine.clock)

    def share(**seconds: float) -> dict[str, float]:
        machine.clock.now += 1
        for name, value in seconds.items():
            target = psutil.swap if name.startswith("s") and name != "system" else psutil.cpu
            setattr(target, name, getattr(target, name) + value)
        return source.recent()

    assert share(nice=2.0) == {"cpu": 0, "io": 0, "swap": 0}  # that is us
    assert share(user=1.0, system=0.6)["cpu"] == pytest.approx(0.8)
    assert share(iowait=0.5)["io"] == pytest.approx(0.25)
    assert share(sin=3 << 20)["swap"] == 3 << 20
    quiet = Quiet(source, clock=machine.clock)
    psutil.cpu.iowait += 5
    machine.clock.now += 1
    assert quiet.must_wait(0)


def test_the_kernel_is_asked_where_it_tells_and_psutil_where_it_does_not(machine, tmp_path):
    assert isinstance(source_of(machine.root), Stalls)
    assert isinstance(source_of(f"{tmp_path}/nowhere/"), Counters)


# ---- signals and the window ------------------------------------------------------------------------------------------


def test_a_pause_lasts_until_it_is_taken_back():
    pace = Pace()
    assert pace.turn(0) is Turn.GO
    pace.pause()
    pace.pause()
    assert [pace.turn(1), pace.turn(0)] == [Turn.WAIT, Turn.WAIT]
    pace.go_on()
    assert pace.turn(0) is Turn.GO


def test_a_window_ends_at_its_moment_when_nothing_is_in_hand():
    clock = Clock()
    pace = Pace(clock.now + 5, clock=clock)
    clock.now += 4.9
    assert pace.turn(3) is Turn.GO
    clock.now += 0.1
    assert pace.turn(3) is Turn.WAIT
    assert pace.over
    assert pace.turn(0) is Turn.END


def test_a_window_ends_a_pause_too_and_setting_the_clock_back_does_not_open_it_again():
    clock = Clock()
    pace = Pace(clock.now, clock=clock)
    pace.pause()
    assert pace.turn(0) is Turn.END
    clock.now -= 3600
    assert pace.turn(0) is Turn.END


def test_what_is_in_hand_when_a_window_ends_has_a_short_grace(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(pacing, "Stopwatch", lambda: Stopwatch(clock))
    pace = Pace(clock.now, clock=clock)
    turns = []
    while len(turns) < 200:
        turns.append(pace.turn(1))
        clock.now += 0.1
    assert turns[: int(pacing.GRACE * 10)] == [Turn.WAIT] * int(pacing.GRACE * 10)
    assert turns[-1] is Turn.END


def test_a_stopwatch_does_not_count_time_in_which_nobody_looked():
    clock = Clock()
    watch = Stopwatch(clock)
    clock.now += 0.25
    assert watch.seconds() == 0.25
    clock.now += 3600
    assert watch.seconds() == 0.25 + GAP
