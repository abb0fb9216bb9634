"""Request: configuration and options become what one run shall do."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from kavfs.cli.arguments import OPTIONS
from kavfs.cli.request import _APPLY, Request, absolute, read_request
from kavfs.errors import ConfigError, UsageError
from kavfs.limits import Limits
from kavfs.model import Switch
from kavfs.options import EVERYTHING


@pytest.fixture(autouse=True)
def no_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Whoever runs the tests has no configuration of their own, and stands in an empty folder."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


def request(*words: str | bytes) -> Request:
    return read_request([os.fsencode(word) for word in words])


def refused(*words: str | bytes) -> str:
    with pytest.raises(UsageError) as caught:
        request(*words)
    return str(caught.value)


def test_every_option_has_an_effect_that_is_written_down() -> None:
    assert {option.name for option in OPTIONS} - {"version", "help"} == set(_APPLY)


def test_without_anything_the_current_directory_is_scanned_and_reported(no_configuration: Path) -> None:
    plain = request()
    assert plain.roots == (os.fsencode(no_configuration / "here"),)
    options = plain.scan_options((), all_members=True)
    assert options.walk.recurse
    assert not options.walk.follow_symlinks
    assert options.switches == EVERYTHING | Switch.ALL_MEMBERS
    assert options.limits == Limits()


def test_options_reach_the_scan() -> None:
    words = ["-r", "-l", "--follow-symlinks", "-ePa", "-ee", "--exclude", "*.iso", "--exclude-dir", "/var/./x/", "/a"]
    words += ["--jobs", "3", "--all-match", "--max-file-size", "10MiB", "--max-depth=3", "--time-limit", "2m"]
    options = request(*words).scan_options(((1, 2),), all_members=False)
    walk = options.walk
    assert (walk.roots, walk.recurse, walk.follow_symlinks, walk.one_file_system) == ((b"/a",), False, True, True)
    assert (walk.exclude_masks, walk.exclude_dirs, walk.stores) == ((b"*.iso",), (b"/var/x",), ((1, 2),))
    assert options.switches == (EVERYTHING | Switch.ALL_MATCH) & ~(Switch.ARCHIVES | Switch.HEURISTIC)
    assert options.limits == Limits(max_file_size=10 << 20, max_depth=3, time_base=120.0)
    assert options.jobs == 3


def test_the_later_option_wins() -> None:
    assert request("-r", "-R", "/a").settings.recursion
    assert not request("--follow-symlinks", "-s", "/a").settings.follow_symlinks


def test_letters_of_display_and_report_are_apart() -> None:
    settings = request("-xnPo", "-mCN", "/a").settings
    assert (settings.display_ok, settings.display_progress, settings.display_objects_only) == (False, True, False)
    assert (settings.report_ok, settings.report_containers_only, settings.display_containers_only) == (
        True,
        True,
        False,
    )


def test_options_win_over_the_configuration_wherever_they_stand(tmp_path: Path) -> None:
    (tmp_path / "k.conf").write_text("[path]\nBasesPath=/db\n[scanner.options]\nRecursion=no\nArchives=no\n")
    conf = str(tmp_path / "k.conf")
    settings = request("-R", "-c", conf, "/a").settings
    assert settings.recursion
    assert Switch.ARCHIVES not in settings.switches
    assert request("-c", conf).databases == (b"/db",)
    assert request("-c", conf, "--db", "/x", "--db", "/y").databases == (b"/x", b"/y")


def test_the_usual_configuration_is_read_if_it_is_there(no_configuration: Path) -> None:
    folder = no_configuration / "config" / "kavfs"
    folder.mkdir(parents=True)
    (folder / "kavfs.conf").write_text("[scanner.options]\nRecursion=no\n")
    assert not request("/a").settings.recursion
    (folder / "kavfs.conf").write_text("[scanner.options]\nRecursoin=no\n")
    with pytest.raises(ConfigError, match="did you mean Recursion"):
        request("/a")


def test_a_configuration_that_was_named_must_be_there() -> None:
    with pytest.raises(ConfigError, match=r"none\.conf: No such file"):
        request("-c", "none.conf")


def test_paths_become_absolute_and_stay_bytes(no_configuration: Path) -> None:
    here = os.fsencode(no_configuration / "here")
    assert request("a", b"./b\xff/", "/c//d/./e/", ".").roots == (here + b"/a", here + b"/b\xff", b"/c/d/e", here)
    assert absolute(b"/") == b"/"
    assert absolute(b"/a/link/../b") == b"/a/link/../b"


def test_lists_of_paths_are_read(tmp_path: Path) -> None:
    (tmp_path / "lines").write_bytes(b"/a b\n\n/c\xff\n/no-newline")
    (tmp_path / "nuls").write_bytes(b"/x\ny\0/z\0")
    paths = request(f"-@{tmp_path}/lines", "--files0-from", str(tmp_path / "nuls"), "/first").roots
    assert paths == (b"/first", b"/a b", b"/c\xff", b"/no-newline", b"/x\ny", b"/z")


def test_an_empty_list_is_nothing_to_scan_and_not_the_current_directory(tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"\n")
    assert request("-@", str(tmp_path / "empty")).roots == ()


def test_a_list_can_come_from_standard_input(tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"/a\0/b\0")
    keep = os.dup(0)
    with open(tmp_path / "in", "rb") as file:
        os.dup2(file.fileno(), 0)
    try:
        assert request("--files0-from", "-").roots == (b"/a", b"/b")
    finally:
        os.dup2(keep, 0)
        os.close(keep)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-i7"], "option -i: '7' is not one of"),
        (["--engine", "norton"], "option --engine: there is no engine 'norton'; there are native, clamav"),
        (["--engine", "native,"], "option --engine: there is no engine ''"),
        (["--engine", "auto,yara"], "option --engine: 'auto' stands alone"),
        (
            ["--clamd", "run/clamd"],
            "option --clamd: 'run/clamd' is neither the absolute path of a socket nor HOST:PORT",
        ),
        (["--clamd", "host:99999"], "option --clamd: 'host:99999' is neither"),
        (["-eX"], "option -e: there is no letter X"),
        (["-xz"], "option -x: there is no letter z"),
        (["-json", "x"], "option -j: 'son' is not a whole number"),
        (["-j", "12"], "option -j: '12' is not a whole number from 0 to 9"),
        (["--jobs", "many"], "option --jobs: 'many' is not a whole number"),
        (["--max-unpacked", "0"], "option --max-unpacked: 0 would leave out everything"),
        (["--max-file-size", "big"], "option --max-file-size: 'big' is not a size"),
        (["--cache-size", "10k"], "option --cache-size: '10k' is too small; 1MiB is the least"),
        (["--cache-size", "0"], "option --cache-size: '0' is too small"),
        (["--time-limit", "0"], "option --time-limit: the time must be longer"),
        (["-@", "/nonexistent"], "list of paths /nonexistent: No such file or directory"),
        ([""], "a path is empty"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(words: list[str], said: str) -> None:
    text = refused(*words)
    assert text.startswith(said)
    assert "\n" not in text


def test_a_list_of_lines_with_nul_bytes_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "nuls").write_bytes(b"/x\0/z\0")
    assert "--files0-from" in refused("-@", str(tmp_path / "nuls"))


def test_options_of_the_cache() -> None:
    assert request("/a").settings.cache
    assert not request("--no-cache", "/a").settings.cache
    settings = request("--no-object-cache", "--cache-size", "10MiB", "--remember-digests", "/a").settings
    assert (settings.cache, settings.cache_size, settings.object_cache_size) == (True, 10 << 20, 0)
    assert settings.remember_digests


def test_help_and_version_need_nothing_else() -> None:
    assert request("-i3", "-h").task == "help"
    assert request("-v", "-c", "/nonexistent").task == "version"


def test_accepted_options_change_nothing() -> None:
    assert request("-f", "-s", "/a") == request("/a")
    assert request("--engine=native", "/a").settings == request("/a").settings


def test_how_a_scan_behaves_beside_others() -> None:
    plain = request("/a").scan_options((), all_members=False)
    assert (plain.polite, plain.max_load, plain.until, plain.page_cache) == (False, 0.0, 0.0, True)
    words = ["--polite", "--max-load", "0.5", "--fill-page-cache", "/a"]
    asked = request(*words).scan_options((), all_members=False)
    assert (asked.polite, asked.max_load, asked.page_cache) == (True, 0.5, False)
    assert "load average" in refused("--max-load", "much", "/a")
    assert "load average" in refused("--max-load", "0", "/a")


def test_a_scan_with_an_end_is_one_that_goes_on_later() -> None:
    now = time.time()
    asked = request("--for", "2h", "/a")
    assert 7199 < asked.until - now < 7300
    assert asked.resume
    asked = request("--until", "06:00", "/a")
    assert 0 < asked.until - now <= 25 * 3600
    assert asked.resume
    assert request("--resume", "/a").resume
    assert not request("/a").resume
    assert "--until" in refused("--until", "tomorrow", "/a")
    assert "--for" in refused("--for", "0", "/a")


def test_engines_are_asked_in_one_order_however_they_are_named() -> None:
    assert request("--engine", "yara,native,clamd,yara", "/a").settings.engines == ("native", "clamd", "yara")
    assert request("--engine=auto", "/a").settings.engines == ("auto",)
    assert request("/a").settings.engines == ("native",)


def test_where_engines_look() -> None:
    words = ("--clamav-db", "/db", "--clamd", "localhost:3310", "--yara-rules", "/rules", "--db", "/sigs", "/a")
    places = request(*words).places(b"/state")
    assert (places.databases, places.state) == ((b"/sigs",), b"/state")
    assert (places.clamav, places.clamd, places.yara) == (b"/db", "localhost:3310", b"/rules")
