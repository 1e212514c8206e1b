"""A data directory that others can write to is tightened, or refused where that is not ours to do."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from lb.errors import LBError
from lb.processes import lock
from lb.processes.data_dir import hide, prepare
from tests.support import Valkey

SOMEBODY = 12345
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize(("mode", "tightened"), [(0o777, 0o755), (0o770, 0o750), (0o2775, 0o2755)])
def test_what_is_ours_is_tightened_with_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: int, tightened: int
) -> None:
    place = tmp_path / "data"
    place.mkdir()
    place.chmod(mode)
    os.close(lock.take(place / "lock", "lb run"))
    assert mode_of(place) == tightened
    [said] = caplog.messages
    assert said == f"dataDir: others could write to {place} (mode {mode:04o}): its owner alone can now"


@pytest.mark.parametrize("mode", [0o700, 0o755, 0o500])
def test_what_others_cannot_write_to_is_left_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: int
) -> None:
    place = tmp_path / "data"
    place.mkdir()
    place.chmod(mode)
    prepare(place)
    assert mode_of(place) == mode
    assert caplog.messages == []


def test_a_place_that_several_users_share_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    place = tmp_path / "tmp"
    place.mkdir()
    place.chmod(0o1777)
    with pytest.raises(LBError, match=r"shared by several users \(mode 1777\).*--data-dir"):
        lock.take(place / "lock", "lb run")
    assert mode_of(place) == 0o1777
    assert [*place.iterdir()] == []


@needs_root
@pytest.mark.parametrize("link", [False, True])
def test_the_directory_of_another_user_is_refused(tmp_path: Path, link: bool) -> None:
    place = theirs = tmp_path / "theirs"
    theirs.mkdir()
    os.chown(theirs, SOMEBODY, SOMEBODY)
    if link:
        place = tmp_path / "link"
        place.symlink_to(theirs)
    with pytest.raises(LBError, match=rf"belongs to another user \(uid {SOMEBODY}\)"):
        prepare(place)


def test_a_lock_that_leads_elsewhere_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(LBError, match="as data directory"):
        lock.take(tmp_path / "lock", "lb run")
    assert not (tmp_path / "elsewhere").exists()


def test_files_of_an_earlier_umask_are_hidden(tmp_path: Path) -> None:
    with Valkey(tmp_path):
        pass
    file = next((tmp_path / "appendonlydir").glob("*.aof"))
    for path in (file.parent, file, tmp_path / "store.log"):
        path.chmod(0o777)
    (tmp_path / "appendonlydir" / "link").symlink_to(tmp_path)
    tmp_path.chmod(0o755)
    hide(tmp_path)
    assert [mode_of(path) for path in (file.parent, file, tmp_path / "store.log")] == [0o700] * 3
    assert mode_of(tmp_path) == 0o755  # it was not followed
