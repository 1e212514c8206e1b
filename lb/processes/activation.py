"""Sockets that systemd has bound for the balancer and keeps open while it restarts (sd_listen_fds(3))."""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping

from lb.errors import LBError

#: The first descriptor that systemd passes on.
FIRST_FD = 3

_FAMILIES = (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX)


def given(environ: MutableMapping[str, str], first_fd: int = FIRST_FD) -> dict[str, socket.socket]:
    """Return the sockets that are meant for this process: "client" and, if it is so named, "admin".

    What told of them is taken out of `environ`, as children are not meant. LBError if there are others.
    """
    pid, count, names = (environ.pop(f"LISTEN_{name}", "") for name in ("PID", "FDS", "FDNAMES"))
    if pid != str(os.getpid()) or not count.isdecimal():
        return {}
    given_names = [*names.split(":"), *[""] * int(count)]
    found: dict[str, socket.socket] = {}
    for place in range(int(count)):
        os.set_inheritable(first_fd + place, False)
        sock = socket.socket(fileno=first_fd + place)
        name = "admin" if given_names[place] == "admin" else "client"
        if name in found or sock.family not in _FAMILIES or sock.type != socket.SOCK_STREAM:
            for each in (sock, *found.values()):
                each.close()
            raise LBError(
                "systemd passes on sockets that have no use here; expected one stream socket for clients "
                "and, with FileDescriptorName=admin, one for the admin API"
            )
        found[name] = sock
    return found
