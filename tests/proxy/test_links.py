"""A log does not go where another user has led it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lb.errors import ConfigError
from lb.proxy.line_file import LineFile, try_to_open

SOMEBODY = 12345
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make what belongs to another user")


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    victim = tmp_path / "victim"
    victim.write_text("all is well\n")
    return victim


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """A directory that everyone can write to."""
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    return shared


def theirs(link: Path, target: Path) -> Path:
    link.symlink_to(target)
    os.chown(link, SOMEBODY, SOMEBODY, follow_symlinks=False)
    return link


def refused(path: Path, why: str) -> None:
    with pytest.raises(ConfigError, match=rf"accessLog\.path: cannot write to .*{why}"):
        try_to_open(str(path), "accessLog.path")


def test_a_link_of_another_user_is_refused(victim: Path, shared: Path) -> None:
    refused(theirs(shared / "log", victim), rf"link of another user \(uid {SOMEBODY}\)")


def test_nothing_is_made_where_it_leads(tmp_path: Path, shared: Path) -> None:
    refused(theirs(shared / "log", tmp_path / "new"), "link of another user")
    assert not (tmp_path / "new").exists()


def test_so_is_one_of_ours_that_leads_over_it(victim: Path, shared: Path, tmp_path: Path) -> None:
    theirs(shared / "log", victim)
    (tmp_path / "ours").symlink_to("shared/log")
    refused(tmp_path / "ours", "link of another user")


def test_a_second_name_that_another_may_have_made_is_refused(victim: Path, shared: Path) -> None:
    (shared / "log").hardlink_to(victim)
    refused(shared / "log", "several names")
    assert victim.read_text() == "all is well\n"


def test_a_link_that_was_put_there_since_is_not_followed_when_the_log_is_reopened(
    victim: Path, shared: Path
) -> None:
    log = LineFile(str(shared / "log"))
    (shared / "log").rename(shared / "log.1")
    theirs(shared / "log", victim)
    with pytest.raises(PermissionError, match="link of another user"):
        log.reopen()
    log.append(b"a line\n")
    log.close()
    assert (shared / "log.1").read_text() == "a line\n"
    assert victim.read_text() == "all is well\n"


def test_our_own_links_and_names_are_fine(victim: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("victim")
    (tmp_path / "other").hardlink_to(victim)
    (tmp_path / "new").symlink_to(tmp_path / "not there yet")
    for name in ("link", "other", "new", "not there yet"):
        log = LineFile(str(tmp_path / name))
        log.append(b"a line\n")
        log.close()
    assert victim.read_text() == "all is well\na line\na line\n"
    try_to_open("/dev/null", "accessLog.path")


def test_a_circle_is_told_as_such(tmp_path: Path) -> None:
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")
    refused(tmp_path / "one", "Too many levels of symbolic links")
