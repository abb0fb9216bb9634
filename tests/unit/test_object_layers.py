"""What a result says of an object's layers: views, depth, sizes and digests, and whether the list is complete."""

from __future__ import annotations

import hashlib
from pathlib import Path

from kavfs._native.worker import ObjectScanner
from kavfs.limits import Limits
from kavfs.model import Reason, Status, Switch, Target
from kavfs.options import EVERYTHING
from tests.support.archives import make_tar, make_zip
from tests.support.objects import EICAR, NEAR_MISS, found_in, image_of, parts, scanner

F_LAYERS = 1 << 6
ALL = EVERYTHING | Switch.ALL_DIGESTS
TEXT = b"plain words, and more of them\n" * 4
ELF = b"\x7fELF\x02\x01\x01" + bytes(121)


def bits(*targets: Target) -> int:
    return sum(1 << target for target in targets)


def test_a_plain_object_lists_nothing_but_the_list_is_complete() -> None:
    found = found_in(TEXT)
    assert found.flags & F_LAYERS
    assert (found.layers, found.depth, found.views) == ([], 0, bits(Target.TEXT))


def test_views_are_those_of_every_layer() -> None:
    inner = make_zip({"program": ELF})
    found = found_in(make_tar({"words": TEXT, "more.zip": inner}))
    assert found.views == bits(Target.ANY, Target.TEXT, Target.ELF)
    assert found.depth == 2
    assert found_in(make_tar({"words": TEXT})).views == bits(Target.ANY, Target.TEXT)


def test_every_layer_is_listed_the_object_first() -> None:
    inner = make_zip({"program": ELF})
    data = make_tar({"words": TEXT, "more.zip": inner})
    found = found_in(data)
    assert found.flags & F_LAYERS
    assert [layer.size for layer in found.layers] == [len(data), len(TEXT), len(inner), len(ELF)]
    assert [layer.target for layer in found.layers] == [Target.ANY, Target.TEXT, Target.ANY, Target.ELF]
    assert all(layer.md5 is layer.sha1 is layer.sha256 is None for layer in found.layers)


def test_all_digests_are_computed_when_asked_for() -> None:
    data = make_zip({"words": TEXT, "empty": b""})
    found = found_in(data, scanner(switches=ALL))
    contents = [data, TEXT, b""]
    assert [layer.size for layer in found.layers] == [len(one) for one in contents]
    for layer, content in zip(found.layers, contents, strict=True):
        assert layer.md5 == hashlib.md5(content).digest()
        assert layer.sha1 == hashlib.sha1(content).digest()
        assert layer.sha256 == hashlib.sha256(content).digest()
    (alone,) = found_in(TEXT, scanner(switches=ALL)).layers
    assert alone.sha256 == hashlib.sha256(TEXT).digest()


def test_digests_that_signatures_ask_for_are_listed(tmp_path: Path) -> None:
    any_size = f"{hashlib.sha256(b'something else').hexdigest()}:*:Test.Any:73\n"
    one_size = f"{hashlib.md5(b'x' * len(TEXT)).hexdigest()}:{len(TEXT)}:Test.Size\n"
    image = image_of(tmp_path, {"any.hsb": any_size, "size.hdb": one_size})
    found = found_in(make_zip({"same": TEXT, "other": TEXT + b"."}), ObjectScanner(parts(image), Limits(), EVERYTHING))
    assert all(layer.sha256 is not None for layer in found.layers)
    assert [layer.md5 is not None for layer in found.layers] == [False, True, False]


def test_a_list_that_would_be_too_long_is_none() -> None:
    small = {str(number): b"x" for number in range(1023)}
    complete = found_in(make_tar(small))
    assert (complete.flags & F_LAYERS, len(complete.layers)) == (F_LAYERS, 1024)
    cut = found_in(make_tar(small | {"one more": b"x"}))
    assert (cut.flags & F_LAYERS, cut.layers) == (0, [])


def test_what_was_not_wholly_opened_has_no_complete_list() -> None:
    data = make_zip({"inner.zip": make_zip({"words": TEXT})})
    found = found_in(data, scanner(Limits(max_depth=1)))
    assert found.reasons & Reason.DEPTH
    assert not found.flags & F_LAYERS
    broken = found_in(make_zip({"words": TEXT * 100})[:-60])
    assert broken.reasons == 0 or not broken.flags & F_LAYERS


def test_an_infected_object_is_listed_too() -> None:
    found = found_in(make_zip({"bad": EICAR, "good": NEAR_MISS}))
    assert found.status == Status.INFECTED
    assert [layer.size for layer in found.layers[1:]] == [len(EICAR), len(NEAR_MISS)]
