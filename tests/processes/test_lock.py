from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lb.errors import LBError
from lb.processes import lock


def test_the_directory_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "lock"
    os.close(lock.take(path, "lb run"))
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_second_taker_is_told_who_holds_it(tmp_path: Path) -> None:
    fd = lock.take(tmp_path / "lock", "lb run")
    with pytest.raises(LBError) as refusal:
        lock.take(tmp_path / "lock", "lb run")
    os.close(fd)
    assert str(refusal.value) == (
        f"{tmp_path} is in use by lb run, pid {os.getpid()}; stop that one, or choose another with --data-dir"
    )


def test_a_full_disk_is_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(LBError, match="as data directory: no space left on device; choose another"):
        lock.take(tmp_path / "lock", "lb run")


def test_a_directory_in_one_that_may_not_be_searched_is_told_as_such(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "mkdir", denied)
    monkeypatch.setattr(Path, "stat", denied)
    with pytest.raises(LBError, match="as data directory: permission denied; choose another"):
        lock.take(tmp_path / "new" / "lock", "lb run")


@contextmanager
def holder_of(directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that holds the lock until its input ends."""
    take = f"lock.take(Path({str(directory)!r}) / 'lock', 'x'); print(flush=True); sys.stdin.read(1)"
    program = f"import sys; from pathlib import Path; from lb.processes import lock; {take}"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", program], **pipes) as process:
        assert process.stdout
        process.stdout.readline()
        yield process


def test_it_is_free_again_when_its_holder_was_killed(tmp_path: Path) -> None:
    with holder_of(tmp_path) as holder:
        with pytest.raises(LBError):
            lock.take(tmp_path / "lock", "y")
        holder.kill()
    os.close(lock.take(tmp_path / "lock", "y"))


def test_it_waits_as_long_as_it_is_told_to(tmp_path: Path) -> None:
    with holder_of(tmp_path) as holder:
        assert holder.stdin
        holder.stdin.close()  # it ends within our patience
        os.close(lock.take(tmp_path / "lock", "y", patience_seconds=10))


def test_an_unusable_directory_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LBError, match=r"cannot use .*file as data directory: .*--data-dir"):
        lock.take(tmp_path / "file" / "lock", "lb run")
