"""The sockets that clients and operators connect to, and what to tell the user whose port is taken."""

from __future__ import annotations

import atexit
import errno
import socket
from contextlib import closing, suppress
from pathlib import Path

from lb.config import ListenAddress
from lb.config.addresses import UNIX
from lb.errors import LBError

#: Connections that wait to be accepted; the system caps it by its own limit (net.core.somaxconn).
BACKLOG = 4096

#: What a user changes to move a port.
CLIENT_SETTING = "--port"
ADMIN_SETTING = 'LB_ADMIN_LISTEN, or "admin": {"listen": …} in the config'
SERVERS_SETTING = '"servers" in the config'

_ADVICE = {
    errno.EADDRINUSE: "something listens there already; stop it or choose another with {setting}",
    errno.EEXIST: "move it away, or choose another with {setting}",
    errno.EACCES: "ports below 1024 need a privilege (CAP_NET_BIND_SERVICE); choose another with {setting}",
    errno.EADDRNOTAVAIL: "this machine has no such address; choose another with {setting}",
}

_SocketAddress = tuple[str, int] | str

#: Who may use a unix socket: its owner and its group.
_UNIX_MODE = 0o660

#: Files of unix sockets that this process has made → their inodes. As `atexit`, one for the process.
_own_files: dict[str, int] = {}


def bind(address: ListenAddress, setting: str, *, shared: bool = False) -> socket.socket:
    """Bind a socket that does not listen yet; no host means every address, IPv6 and IPv4.

    `setting` is what the user can change if that fails (LBError). A `shared` port can be bound by several
    processes that run apart, and the kernel spreads the connections over them. The file of a unix socket that
    nobody listens on any more is replaced; our own is removed when this process ends.
    """
    tried: list[OSError] = []
    for family, place in _places(address, setting):
        try:
            return _bound(family, place, shared=shared)
        except OSError as error:
            tried.append(error)
            if error.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
                break
    raise _unusable(str(address), tried[-1], setting)


def bind_each(address: ListenAddress, setting: str) -> list[socket.socket]:
    """Bind each address that the host's name has on this machine: "localhost" may be two, a stranger none."""
    bound = []
    for family, place in _places(address, setting):
        try:
            bound.append(_bound(family, place, shared=False))
        except OSError as error:
            if error.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
                raise _unusable(str(address), error, setting) from error
    return bound


def listen(sock: socket.socket, setting: str) -> None:
    """Let clients connect; LBError if another process was faster to listen on the same port."""
    try:
        sock.listen(BACKLOG)
    except OSError as error:
        raise _unusable(str(name_of(sock)), error, setting) from error


def name_of(sock: socket.socket) -> ListenAddress:
    """Return where a socket is bound."""
    name = sock.getsockname()
    return ListenAddress("", 0, name) if isinstance(name, str) else ListenAddress(*name[:2])


def url_of(sock: socket.socket) -> str:
    """Return how clients name the place where a socket is bound."""
    place = name_of(sock)
    if place.path:
        return str(place)
    host = "0.0.0.0" if place.host == "::" else place.host  # noqa: S104 - dual-stack; can be pasted anywhere
    return f"http://[{host}]:{place.port}" if ":" in host else f"http://{host}:{place.port}"


def _unusable(place: str, error: OSError, setting: str) -> LBError:
    number = 0 if error.errno == errno.EACCES and place.startswith(UNIX) else error.errno or 0
    advice = _ADVICE.get(number, "choose another with {setting}").format(setting=setting)
    return LBError(f"cannot listen on {place}: {(error.strerror or str(error)).lower()}; {advice}")


def _places(address: ListenAddress, setting: str) -> list[tuple[int, _SocketAddress]]:
    """Return family and address of each place that is meant, the preferred one first."""
    if address.path:
        return [(socket.AF_UNIX, address.path)]
    if not address.host:
        return [(socket.AF_INET6, ("::", address.port)), (socket.AF_INET, ("0.0.0.0", address.port))]  # noqa: S104
    try:
        found = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except OSError as error:
        raise _unusable(str(address), error, setting) from error
    return [(family, (str(place[0]), address.port)) for family, _, _, _, place in found]


def _bound(family: int, place: _SocketAddress, *, shared: bool) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        if isinstance(place, str):
            _bind_path(sock, Path(place))
            return sock
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            every = place[0] == "::"  # then IPv4 clients come in here too
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not every)
        sock.bind(place)
    except BaseException:
        sock.close()
        raise
    return sock


def _bind_path(sock: socket.socket, path: Path) -> None:
    try:
        sock.bind(str(path))
    except OSError as error:
        if error.errno == errno.EADDRINUSE and not path.is_socket():
            raise FileExistsError(errno.EEXIST, "a file that is no socket is there") from error
        if error.errno != errno.EADDRINUSE or not _left_behind(path):
            raise
        path.unlink()
        sock.bind(str(path))
    path.chmod(_UNIX_MODE)  # nobody can connect before it listens
    remove_at_end(str(path), path.stat().st_ino)


def remove_at_end(path: str, inode: int) -> None:
    """Have the file of a unix socket removed when this program ends, if it is still the one of that inode."""
    if not _own_files:
        atexit.register(_remove_own_files)
    _own_files[path] = inode


def own_files() -> dict[str, int]:
    """Return what will be removed at the end: a program that takes this one's place must do it instead."""
    return dict(_own_files)


def _left_behind(path: Path) -> bool:
    """Whether nobody listens on the unix socket at a path."""
    with closing(socket.socket(socket.AF_UNIX)) as probe:
        return probe.connect_ex(str(path)) == errno.ECONNREFUSED


def _remove_own_files() -> None:
    while _own_files:
        path, inode = _own_files.popitem()
        with suppress(OSError):  # it is gone already
            if Path(path).stat().st_ino == inode:  # else another process has taken the place
                Path(path).unlink()
