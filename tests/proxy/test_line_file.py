"""Lines go to files, pipes and sockets, and wait for none of them."""

from __future__ import annotations

import os
import resource
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lb.proxy import line_file
from lb.proxy.line_file import HELD_BYTES, STDOUT, LineFile


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[tuple[LineFile, int]]:
    """A file that is a pipe, and the reader's end."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    file = LineFile(str(path))
    yield file, reader
    file.close()
    os.close(reader)


def read(descriptor: int) -> bytes:
    data = b""
    while True:
        try:
            more = os.read(descriptor, 1 << 16)
        except BlockingIOError:
            return data
        if not more:
            return data
        data += more


def test_lines_are_appended(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("before\n")
    file = LineFile(str(path))
    file.append(b"one\ntwo\n")
    file.append(b"three\n")
    file.close()
    assert path.read_text() == "before\none\ntwo\nthree\n"
    assert file.lost == 0


def test_a_new_file_is_for_its_owner_and_group(tmp_path: Path) -> None:
    LineFile(str(tmp_path / "log")).close()
    assert (tmp_path / "log").stat().st_mode & 0o777 & ~0o640 == 0


def test_after_a_rename_lines_go_to_the_new_file(tmp_path: Path) -> None:
    path = tmp_path / "log"
    file = LineFile(str(path))
    file.append(b"one\n")
    path.rename(tmp_path / "log.1")
    file.append(b"two\n")
    file.reopen()
    file.append(b"three\n")
    file.close()
    assert (tmp_path / "log.1").read_text() == "one\ntwo\n"
    assert path.read_text() == "three\n"


def test_a_file_that_cannot_be_reopened_goes_on(tmp_path: Path) -> None:
    directory = tmp_path / "logs"
    directory.mkdir()
    file = LineFile(str(directory / "log"))
    directory.rename(tmp_path / "old")
    with pytest.raises(FileNotFoundError):
        file.reopen()
    file.append(b"on\n")
    file.close()
    assert (tmp_path / "old" / "log").read_text() == "on\n"


def test_several_writers_do_not_tear_lines(tmp_path: Path) -> None:
    """Neither in a file nor in a pipe that is read slowly."""
    program = (
        "import sys\nfrom lb.proxy.line_file import LineFile\n"
        "files = [LineFile(path) for path in sys.argv[2:]]\n"
        "for number in range(300):\n"
        "  for file in files:\n"
        "    file.append((sys.argv[1] * (1 + 37 * number % 900) + '\\n').encode() * 5)\n"
        "    while file.behind: file.push()\n"
        "assert not any(file.lost for file in files)\n"
    )
    reader, writer = os.pipe()
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", program, letter, str(tmp_path / "log"), STDOUT], stdout=writer
        )
        for letter in "abc"
    ]
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        piped = pipe.read()
    assert [writer.wait(30) for writer in writers] == [0, 0, 0]
    for data in (piped, (tmp_path / "log").read_bytes()):
        lines = data.split(b"\n")
        assert len(lines) == 3 * 300 * 5 + 1
        assert [line for line in lines if len(set(line)) > 1] == []


def test_a_stalled_pipe_is_held_for_a_while_then_lines_are_lost(pipe: tuple[LineFile, int]) -> None:
    file, reader = pipe
    line = b"x" * 999 + b"\n"
    total = 3 * HELD_BYTES // 1000
    for _ in range(total // 100):
        file.append(line * 100)
    assert file.behind
    assert file.lost > 0
    assert file.fault == "its reader does not keep up"
    assert file._held_bytes <= HELD_BYTES
    data = b""
    while file.behind:
        data += read(reader)
        file.push()
    data += read(reader)
    assert set(data.split(b"\n")) == {line[:-1], b""}
    assert data.count(b"\n") + file.lost == total // 100 * 100
    assert len(data) > HELD_BYTES - select.PIPE_BUF


def test_what_is_held_at_the_end_is_lost(pipe: tuple[LineFile, int]) -> None:
    file, reader = pipe
    for _ in range(100):
        file.append(b"x" * 999 + b"\n")
    assert file.behind
    written = read(reader).count(b"\n")
    file.close()
    assert file.lost == 100 - written
    file.close = lambda: None  # type: ignore[method-assign]


def test_a_reader_that_left_costs_the_lines(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    file = LineFile(str(path))
    os.close(reader)
    file.append(b"one\ntwo\n")
    assert (file.lost, file.fault, file.behind) == (2, "Broken pipe", False)
    again = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    file.append(b"three\n")
    assert read(again) == b"three\n"
    os.close(again)
    file.close()


def test_a_full_disk_costs_lines_and_the_next_begin_at_a_new_one(tmp_path: Path) -> None:
    """A limit on file sizes stands for the disk: it tears a line in the same way."""
    path = tmp_path / "log"
    file = LineFile(str(path))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
        file.append(b"first\nsecond\nthird\n")
        file.append(b"fourth\n")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert (file.lost, file.fault) == (3, "File too large")
    file.append(b"fifth\n")
    file.append(b"sixth\n")
    file.close()
    assert path.read_text() == "first\nseco\nfifth\nsixth\n"


@pytest.mark.parametrize("kind", ["file", "pipe", "socket"])
def test_standard_output_can_be_anything(tmp_path: Path, kind: str) -> None:
    program = (
        "from lb.proxy.line_file import LineFile\n"
        "import os\n"
        "file = LineFile('stdout'); file.append(b'one\\n'); file.reopen(); file.append(b'two\\n')\n"
        "assert os.get_blocking(1)\n"  # others have it too
        "file.close(); assert not file.lost\n"
        "print('three')"
    )
    command = [sys.executable, "-c", program]
    if kind == "file":
        with (tmp_path / "out").open("ab") as out:
            subprocess.run(command, stdout=out, check=True)
        said = (tmp_path / "out").read_bytes()
    elif kind == "pipe":
        said = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
    else:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            subprocess.run(command, stdout=theirs, check=True)
            said = ours.recv(100)
    assert said == b"one\ntwo\nthree\n"


def test_a_stalled_socket_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        monkeypatch.setitem(line_file.STANDARD, STDOUT, theirs.fileno())
        file = LineFile(STDOUT)
        for _ in range(3000):
            file.append(b"x" * 999 + b"\n")
        assert file.lost
        taken = threading.Thread(target=lambda: drained.append(read_all(ours)))
        drained: list[bytes] = []
        taken.start()
        while file.behind:
            file.push()
        file.close()
        theirs.shutdown(socket.SHUT_RDWR)
        taken.join()
    assert set(drained[0].split(b"\n")) == {b"x" * 999, b""}
    assert drained[0].count(b"\n") + file.lost == 3000


def read_all(sock: socket.socket) -> bytes:
    data = b""
    while more := sock.recv(1 << 16):
        data += more
    return data


def test_a_standard_output_that_is_closed_is_an_error() -> None:
    program = "import os; from lb.proxy.line_file import LineFile\nos.close(1)\nLineFile('stdout')"
    said = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)
    assert "Bad file descriptor" in said.stderr
