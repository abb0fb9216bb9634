"""Images: opened as they are, renewed where databases changed, refused with a reason."""

from __future__ import annotations

import errno
import os
import time

import pytest

from kavfs._native import match
from kavfs.errors import DatabaseDamaged, DatabaseMissing, SystemFailure, UsageError
from kavfs.signatures import groups, imagewriter, renew, sources
from kavfs.signatures import image as image_module
from kavfs.signatures.image import compile_image, open_image
from kavfs.signatures.imagewriter import compile_image_file
from kavfs.signatures.sources import STARTER, Identity, default_databases, default_state
from tests.support.databases import bodies, body, compiled, logical, write


@pytest.fixture
def settled(monkeypatch):
    """Files made a moment ago count as old enough to be told by their time stamps."""
    monkeypatch.setattr(sources, "SETTLE_NS", -(10**18))


@pytest.fixture
def folder(tmp_path):
    return write(
        tmp_path / "db",
        a_ndb=body("First.Name-1", "first marker of the test") + "broken line\n",
        b_ldb=logical("Second.Name-2", "one half of it", "other half of it"),
        c_hdb="0123456789abcdef0123456789abcdef:77:Third.Name-3\n",
    )


@pytest.fixture
def state(tmp_path):
    return tmp_path / "state"


def generation(paths, state):
    with open_image(paths, state) as image:
        return image.generation


def test_databases_that_are_exchanged_while_they_are_read_are_looked_for_anew(folder, state, monkeypatch):
    really = renew.outdated_packs

    def exchange(found):
        if (folder / "a.ndb").exists():
            (folder / "a.ndb").rename(folder / "z.ndb")
        return really(found)

    monkeypatch.setattr(renew, "outdated_packs", exchange)
    with open_image([folder], state) as image:
        assert [entry.name for entry in image.entries] == [b"b.ldb", b"c.hdb", b"z.ndb"]


# -- what an image says ----------------------------------------------------------------------------------------------


def test_an_image_counts_the_signatures_that_it_has(folder, state):
    with open_image([folder], state) as image:
        assert image.signature_count == 3
        assert [(entry.name, entry.taken) for entry in image.entries] == [(b"a.ndb", 1), (b"b.ldb", 1), (b"c.hdb", 1)]
        assert image.entries[0].reasons == (("wrong number of fields", 1),)
        assert not image.demonstration


def test_every_part_is_whole_and_can_be_mapped(folder, state):
    with open_image([folder], state) as image:
        assert len(image.parts) >= 4  # three segments, one group over the two with literals
        for part in image.parts:
            assert part.offset == 0
            assert match.part_is_whole(os.pread(part.fd, part.length + 1, 0))


def test_newest_is_the_time_of_the_newest_file_with_signatures(folder, state):
    os.utime(folder / "a.ndb", (1000, 1000))
    os.utime(folder / "b.ldb", (5000, 5000))
    os.utime(folder / "c.hdb", (3000, 3000))
    write(folder, z_ign2="Some.Name\n", y_yar="rule r {}")
    with open_image([folder, STARTER], state) as image:
        assert image.newest == 5000


def test_only_the_starter_set_is_a_demonstration(folder, state):
    with open_image([STARTER], state) as image:
        assert image.demonstration
        assert image.newest == max(entry.stat().st_mtime_ns for entry in os.scandir(STARTER)) / 1e9
        assert image.signature_count >= 1
    with open_image([STARTER, folder], state) as image:
        assert not image.demonstration


def test_kinds_that_are_not_read_yet_are_counted_line_by_line(folder, state):
    write(folder, x_wdb="45056:0123456789abcdef0123456789abcdef:N\n# words\n4:ab:M\n", daily_cbc="ClamBC\n\0\1\n")
    with open_image([folder], state) as image:
        reasons = {entry.name: entry.reasons for entry in image.entries}
    assert reasons[b"x.wdb"] == (("not supported yet: .wdb (trusted web addresses)", 2),)
    assert reasons[b"daily.cbc"] == (("not supported yet: .cbc (bytecode)", 1),)


def test_the_same_file_in_two_folders_counts_once(folder, tmp_path, state):
    again = write(tmp_path / "again", a_ndb=(folder / "a.ndb").read_text())
    with open_image([folder, again], state) as image:
        assert image.signature_count == 3


def test_a_single_file_is_a_path_too(folder, state):
    with open_image([folder / "b.ldb"], state) as image:
        assert image.signature_count == 1


def test_a_file_of_which_nothing_can_be_read_is_noted(folder, state):
    write(folder, d_ndb="one\ntwo\n")
    with open_image([folder], state) as image:
        assert image.notes == (f"{folder}/d.ndb: none of its 2 lines can be read",)
    write(folder, d_ndb="one\n")
    with open_image([folder], state) as image:
        assert image.notes == (f"{folder}/d.ndb: its only line cannot be read",)


# -- generation ------------------------------------------------------------------------------------------------------


def test_the_generation_changes_with_each_rule_and_exception_and_comes_back(folder, state):
    first = generation([folder], state)
    assert len(first) == 16
    assert generation([folder], state) == first
    write(folder, z_ign2="First.Name-1\n")
    ignoring = generation([folder], state)
    write(folder, z_fp="0123456789abcdef0123456789abcdef:77:Known.Good\n")
    excepting = generation([folder], state)
    assert len({first, ignoring, excepting}) == 3
    os.unlink(folder / "z.ign2")
    os.unlink(folder / "z.fp")
    assert generation([folder], state) == first


def test_the_generation_does_not_depend_on_place_or_order(folder, tmp_path, state):
    moved = tmp_path / "moved"
    first = generation([folder, STARTER], state)
    os.rename(folder, moved)
    assert generation([STARTER, moved], tmp_path / "other") == first


def test_another_library_is_another_generation(folder, state, monkeypatch):
    first = generation([folder], state)
    monkeypatch.setattr(match, "hs_version", lambda: "another")
    assert generation([folder], state) != first


# -- renewal ---------------------------------------------------------------------------------------------------------


def test_an_unchanged_folder_is_opened_without_reading_a_database(folder, state, settled, monkeypatch):
    first = generation([folder], state)
    monkeypatch.setattr(image_module, "_renew", lambda *_, **__: pytest.fail("renewed"))
    assert generation([folder], state) == first


def test_only_the_changed_file_is_compiled_again(folder, state, settled, monkeypatch):
    monkeypatch.setattr(groups, "OWN_GROUP", 1)
    open_image([folder], state).close()
    before = compiled(state)
    (folder / "b.ldb").write_text(logical("Second.Name-3", "quite another half", "other half of it"))
    with open_image([folder], state) as image:
        assert image.signature_count == 3
        new = {f"{part.kind}/{part.key}.bin" for row in image.catalog.deltas for part in row.parts}
    after = {name: inode for name, inode in compiled(state).items() if name not in new}
    kept = before.items() & after.items()
    assert len(before) == len(after) == 5  # three segments, two groups
    assert len(kept) == 3  # a.ndb and its group, c.hdb


def test_added_and_removed_files_are_noticed(folder, state, settled):
    write(folder, d_ndb=body("Fourth.Name-4", "fourth marker of the test"))
    with open_image([folder], state) as image:
        assert image.signature_count == 4
    os.unlink(folder / "d.ndb")
    with open_image([folder], state) as image:
        assert image.signature_count == 3


def test_a_change_that_leaves_no_trace_in_time_stamps_is_noticed(folder, state, monkeypatch):
    now = time.time_ns()
    monkeypatch.setattr(Identity, "of", lambda status: Identity(status.st_size, 5, now, status.st_ino))
    first = generation([folder], state)
    with open(folder / "a.ndb", "r+") as file:  # the same inode and length
        file.write(body("Other.Name-9", "first marker of the test"))
    assert generation([folder], state) != first


def test_what_is_read_from_a_changing_file_is_looked_at_again(tmp_path, settled, monkeypatch):
    file = tmp_path / "a.ndb"
    file.write_text("before")
    original, calls = Identity.of, []

    def look_and_let_another_write(status):
        calls.append(status)
        if len(calls) == 1:
            file.write_text("afterwards")
        return original(status)

    monkeypatch.setattr(Identity, "of", look_and_let_another_write)
    text, identity, is_settled = sources.read_source(os.fsencode(file))
    assert text == b"afterwards"
    assert not is_settled
    assert identity != original(os.stat(file))


def test_parts_of_older_images_are_removed_and_those_of_others_stay(folder, tmp_path, state, settled):
    other = write(tmp_path / "other", o_ndb=body("Other.Name-1", "marker of the other folder"))
    open_image([other], state).close()
    others = compiled(state)
    open_image([folder], state).close()
    (folder / "a.ndb").write_text(body("Newer.Name-1", "newer marker of the test"))
    open_image([folder], state).close()
    with open_image([folder], state) as image:
        expected = {f"{part.kind}/{part.key}.bin" for part in image.catalog.every_part if part.kind != "deltas"}
    assert set(compiled(state)) == expected | set(others)
    assert others.items() <= compiled(state).items()


def test_an_open_image_outlives_its_removal(folder, state, settled):
    with open_image([folder], state) as image:
        (folder / "a.ndb").write_text(body("Newer.Name-1", "newer marker of the test"))
        open_image([folder], state).close()
        assert all(match.part_is_whole(os.pread(part.fd, part.length, part.offset)) for part in image.parts)


def test_small_segments_share_a_group_and_large_ones_have_their_own():
    segments = [("a", 5000), ("big", 60_000), ("b", 50_000), ("none", 0), ("c", 59_999), ("d", 1)]
    assert groups.plan_groups([("a", 39_000), ("b", 39_000), ("c", 3_000)]) == [["a", "b"], ["c"]]
    plan = groups.plan_groups(segments)
    assert ["big"] in plan
    assert sorted(key for group in plan for key in group) == ["a", "b", "big", "c", "d"]
    literals = dict(segments)
    assert all(sum(literals[key] for key in group) <= groups.GROUP_MAX for group in plan)


# -- image files -----------------------------------------------------------------------------------------------------


def test_an_image_file_is_opened_alone_and_says_the_same(folder, tmp_path, state):
    write(folder, z_ign2="First.Name-1\n")
    output = tmp_path / "all.image"
    compile_image_file([folder], output).close()
    with open_image([folder], state) as made, open_image([output], tmp_path / "unused") as image:
        assert image.generation == made.generation
        assert image.signature_count == 3
        assert image.newest == made.newest
        assert [image.side(e) for e in image.entries] == [made.side(e) for e in made.entries]
        for one, other in zip(made.parts, image.parts, strict=True):
            assert other.offset % 4096 == 0
            assert os.pread(one.fd, one.length, one.offset) == os.pread(other.fd, other.length, other.offset)
    assert not (tmp_path / "unused").exists()


def test_an_image_file_among_other_paths_is_a_mistake(folder, tmp_path, state):
    output = tmp_path / "all.image"
    compile_image_file([folder], output).close()
    with pytest.raises(UsageError, match="used alone"):
        open_image([output, folder], state)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda data: data[:20], "ends within its head"),
        (lambda data: data[:-1], "should have"),
        (lambda data: data + b"x", "should have"),
        (lambda data: data[:7] + b"9" + data[8:], "another version"),
        (lambda data: data[:-1] + b"]", "index"),
        (lambda data: data[:65600] + bytes([data[65600] ^ 1]) + data[65601:], "not what was written"),
        (lambda data: b"x" + data[1:], "neither a database"),
        (lambda data: b"", "neither a database"),
    ],
)
def test_a_damaged_image_file_is_refused_with_what_is_wrong(folder, tmp_path, change, word):
    output = tmp_path / "all.image"
    compile_image_file([folder], output).close()
    output.write_bytes(change(output.read_bytes()))
    with pytest.raises(DatabaseDamaged, match=word) as refusal:
        open_image([output], tmp_path / "unused")
    assert str(output) in str(refusal.value)
    assert refusal.value.exit_code == 55


def test_an_image_file_for_another_library_or_cpu_is_refused(folder, tmp_path, monkeypatch):
    output = tmp_path / "all.image"
    compile_image_file([folder], output).close()
    monkeypatch.setattr(match, "hs_version", lambda: "another")
    with pytest.raises(DatabaseDamaged, match="another version of the matcher or another CPU"):
        open_image([output], tmp_path / "unused")


def test_an_image_file_that_cannot_be_written_leaves_the_old_one(folder, tmp_path, monkeypatch):
    with pytest.raises(SystemFailure, match="No such file or directory"):
        compile_image_file([folder], tmp_path / "nowhere" / "all.image")
    output = tmp_path / "all.image"
    compile_image_file([folder], output).close()
    old = output.read_bytes()

    def no_room(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(imagewriter, "write_all", no_room)
    with pytest.raises(SystemFailure, match=r"all\.image cannot be written: No space left"):
        compile_image_file([folder], output)
    assert output.read_bytes() == old
    assert sorted(os.listdir(tmp_path)) == ["all.image", "db"]


# -- refusals --------------------------------------------------------------------------------------------------------


def test_a_place_without_signatures_is_missing(tmp_path, state):
    (tmp_path / "db").mkdir()
    for paths in ([tmp_path / "db"], [tmp_path / "nowhere"]):
        with pytest.raises(DatabaseMissing, match="no signatures") as refusal:
            open_image(paths, state)
        assert str(paths[0]) in str(refusal.value)
        assert refusal.value.exit_code == 50
    write(tmp_path / "db", README_txt="words", z_fp="0123456789abcdef0123456789abcdef:77:Known.Good\n", m_cbc="x")
    with pytest.raises(DatabaseMissing, match="supported kind"):
        open_image([tmp_path / "db"], state)


def test_databases_of_which_no_line_can_be_read_are_damaged(tmp_path, state):
    write(tmp_path / "db", a_ndb="\x00\x01\x02" * 100)
    with pytest.raises(DatabaseDamaged, match=r"a\.ndb"):
        open_image([tmp_path / "db"], state)


def test_a_path_without_databases_is_not_passed_over_because_others_have_some(folder, tmp_path, state):
    (tmp_path / "none").mkdir()
    (tmp_path / "words.txt").write_text("words")
    with pytest.raises(DatabaseMissing, match=f"no database file in {tmp_path / 'none'}$"):
        open_image([folder, tmp_path / "none"], state)
    with pytest.raises(DatabaseDamaged, match=r"words\.txt: neither a database"):
        open_image([folder, tmp_path / "words.txt"], state)


def test_a_link_to_nowhere_is_not_passed_over(folder, state):
    (folder / "gone.ndb").symlink_to("nowhere")
    with pytest.raises(DatabaseMissing, match=r"gone\.ndb"):
        open_image([folder], state)


def test_usual_places(monkeypatch, tmp_path):
    monkeypatch.setattr(sources, "PLACES", (os.fsencode(tmp_path / "a"), os.fsencode(tmp_path / "b")))
    write(tmp_path / "b", x_txt="")
    assert default_databases() == (STARTER,)
    write(tmp_path / "b", x_cbc="")
    assert default_databases() == (STARTER, os.fsencode(tmp_path / "b"))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert default_state() == b"/var/lib/kavfs"
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("HOME", "/home/u")
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    assert default_state() == b"/home/u/.local/state/kavfs"
    monkeypatch.setenv("XDG_STATE_HOME", "/x")
    assert default_state() == b"/x/kavfs"


def test_a_changed_file_of_500_lines_is_compiled_within_two_seconds(tmp_path, state):
    folder = write(tmp_path / "db", large_ndb=bodies("Large", 3000), small_ndb=bodies("Small", 500))
    compile_image([folder], state).close()
    (folder / "small.ndb").write_text(bodies("Other", 500))
    start = time.process_time()  # of all threads: what it costs, however busy the machine is
    with open_image([folder], state) as image:
        assert time.process_time() - start < 2
        assert image.signature_count == 3500
