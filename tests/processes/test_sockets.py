from __future__ import annotations

import errno
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from lb.config import ListenAddress
from lb.errors import LBError
from lb.processes import sockets


@pytest.fixture
def taken() -> Iterator[ListenAddress]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield ListenAddress("127.0.0.1", listener.getsockname()[1])


def test_no_host_means_ipv6_and_ipv4() -> None:
    with sockets.bind(ListenAddress("", 0), "--port") as sock:
        sockets.listen(sock, "--port")
        port = sock.getsockname()[1]
        for host in ("127.0.0.1", "::1"):
            socket.create_connection((host, port)).close()


def test_no_host_means_ipv4_where_there_is_no_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    bound = sockets._bound

    def without_ipv6(family: int, *rest: object, **traits: bool) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(97, "Address family not supported by protocol")
        return bound(family, *rest, **traits)

    monkeypatch.setattr(sockets, "_bound", without_ipv6)
    with sockets.bind(ListenAddress("", 0), "--port") as sock:
        assert sock.family == socket.AF_INET


def test_it_accepts_only_once_it_listens() -> None:
    with sockets.bind(ListenAddress("127.0.0.1", 0), "--port") as sock:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(sock.getsockname())
        sockets.listen(sock, "--port")
        socket.create_connection(sock.getsockname()).close()


def test_a_taken_port_says_what_to_do(taken: ListenAddress) -> None:
    with pytest.raises(LBError) as refusal:
        sockets.bind(taken, "--port")
    assert str(refusal.value) == (
        f"cannot listen on {taken}: address already in use; "
        "something listens there already; stop it or choose another with --port"
    )


def test_a_port_that_another_listens_on_first_says_the_same() -> None:
    """Two that bind before either listens both succeed; the second to listen does not."""
    with sockets.bind(ListenAddress("127.0.0.1", 0), "--port") as first:
        address = ListenAddress(*first.getsockname())
        with sockets.bind(address, "--port") as second:
            sockets.listen(first, "--port")
            with pytest.raises(LBError, match="something listens there already"):
                sockets.listen(second, "--port")


def test_an_address_of_another_machine_says_so() -> None:
    with pytest.raises(
        LBError, match=r"cannot listen on 192\.0\.2\.1:8080: .*this machine has no such address"
    ):
        sockets.bind(ListenAddress("192.0.2.1", 8080), "--port")


def test_a_name_that_means_nothing_says_so() -> None:
    with pytest.raises(LBError, match=r"cannot listen on no-such-host\.invalid:80: "):
        sockets.bind(ListenAddress("no-such-host.invalid", 80), "--port")


def test_several_processes_can_share_a_port() -> None:
    with sockets.bind(ListenAddress("127.0.0.1", 0), "--port", shared=True) as first:
        sockets.listen(first, "--port")
        with sockets.bind(ListenAddress(*first.getsockname()), "--port", shared=True) as second:
            sockets.listen(second, "--port")


def test_bind_each_leaves_out_what_is_not_here(taken: ListenAddress) -> None:
    assert sockets.bind_each(ListenAddress("192.0.2.1", 0), "servers") == []
    [here] = sockets.bind_each(ListenAddress("127.0.0.1", 0), "servers")
    here.close()
    with pytest.raises(LBError):
        sockets.bind_each(taken, "servers")


@pytest.fixture
def place(tmp_path: Path) -> ListenAddress:
    return ListenAddress("", 0, str(tmp_path / "s"))


def test_a_unix_socket_is_for_its_owner_and_group(place: ListenAddress) -> None:
    with sockets.bind(place, "--port") as sock:
        sockets.listen(sock, "--port")
        assert stat.S_IMODE(Path(place.path).stat().st_mode) == 0o660
        assert sockets.name_of(sock) == place
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(place.path)


def test_the_file_of_a_dead_process_is_replaced_and_that_of_a_living_one_is_not(place: ListenAddress) -> None:
    sockets.bind(place, "--port").close()
    with sockets.bind(place, "--port") as sock:
        sockets.listen(sock, "--port")
        with pytest.raises(LBError, match=f"cannot listen on unix:{place.path}: .*something listens there"):
            sockets.bind(place, "--port")


def test_a_file_that_is_no_socket_is_left_alone(place: ListenAddress) -> None:
    Path(place.path).write_text("mine")
    with pytest.raises(
        LBError, match="a file that is no socket is there; move it away, or choose another with"
    ):
        sockets.bind(place, "--port")
    assert Path(place.path).read_text() == "mine"


def test_a_folder_that_is_not_ours_needs_no_privilege_of_ports(
    place: ListenAddress, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(sockets, "_bind_path", refuse)
    with pytest.raises(LBError, match=r"permission denied; choose another with --port$"):
        sockets.bind(place, "--port")


def test_the_file_is_removed_at_the_end_unless_another_process_has_it(place: ListenAddress) -> None:
    path = Path(place.path)
    with sockets.bind(place, "--port"):
        assert sockets.own_files()[place.path] == path.stat().st_ino
        sockets.remove_at_end(place.path, path.stat().st_ino + 1)
        sockets._remove_own_files()
        assert path.exists()
        sockets.remove_at_end(place.path, path.stat().st_ino)
        sockets._remove_own_files()
        assert not path.exists()
        assert sockets.own_files() == {}
