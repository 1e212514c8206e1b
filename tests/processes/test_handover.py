from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from lb.processes import handover


@pytest.fixture
def fd() -> Iterator[int]:
    fd = handover.write("a text — for others")
    yield fd
    os.close(fd)


def test_others_read_the_very_same_text_again_and_again(fd: int) -> None:
    assert [handover.read(fd), handover.read(fd)] == ["a text — for others"] * 2


def test_the_file_has_no_name_and_is_not_inherited_by_accident(fd: int) -> None:
    assert os.fstat(fd).st_nlink == 0
    assert not os.get_inheritable(fd)


def test_what_is_taken_is_gone():
    fd = handover.write("secret")
    assert handover.take(fd) == "secret"
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)
