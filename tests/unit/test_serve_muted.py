"""The front and descriptors of clients that nobody wants: they are handed out, or not even received."""

from __future__ import annotations

import os
from pathlib import Path

from tests.support.fronts import House


def pass_two(house: House, path: Path) -> None:
    client = house.connect()
    with path.open("rb") as one, path.open("rb") as two:
        client.send(b"nFILDES\nx", one.fileno(), two.fileno())
    house.settle()
    client.close()


def test_descriptors_of_no_use_are_handed_out_with_their_owner(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with House(tmp_path) as house:
        pass_two(house, file)
        assert [uid for uid, _ in house.unwanted] == [os.getuid()] * 2
        assert all(os.path.samestat(about, file.stat()) for _, about in house.unwanted)


def test_a_muted_user_passes_none_and_others_do(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with House(tmp_path) as house, file.open("rb") as passed:
        assert house.front.mute(os.getuid() + 1, True)
        assert house.talk(house.connect(), b"nPING\n") == b"PING\n"
        for muted, verb in ((True, "BROKEN"), (False, "FILDES")):
            assert house.front.mute(os.getuid(), muted) is muted
            client = house.connect()
            client.send(b"nFILDES\nx", passed.fileno())
            house.settle()
            assert house.heard()[-1][0] == verb
            client.close()
