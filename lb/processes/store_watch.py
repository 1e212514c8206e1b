"""Notices that the embedded store's socket was deleted: the store does not, and nobody can reach it."""

from __future__ import annotations

from pathlib import Path

from lb.limited_log import LimitedLog
from lb.processes.child import Child
from lb.processes.crew import Crew
from lb.store import embedded

_limited = LimitedLog(__name__)

LOOK_SECONDS = 2.0
#: Until it is there: one that is deleted before it was seen would be waited for.
FIRST_LOOK_SECONDS = 0.1


class StoreWatch:
    """Has a store whose socket is gone replaced by another, which makes it anew. Times as for `Child`."""

    def __init__(self, store: Child, socket_path: Path) -> None:
        self._store = store
        self._path = socket_path
        self._seen_of = 0  # process id of the store that had its socket at a look
        self._look_at = 0.0

    def deadline(self) -> float:
        """When `look` must be called again."""
        return self._look_at

    def look(self, now: float) -> None:
        """Look whether the socket is there, if it is time for that."""
        if now < self._look_at:
            return
        store = self._store
        if _is_there(self._path):
            self._seen_of = store.pid
        elif store.running and store.pid == self._seen_of:
            self._seen_of = 0
            _limited.error("%s was deleted, so nobody reaches %s: starting another", self._path, store)
            store.restart(now)
        self._look_at = now + (LOOK_SECONDS if store.pid == self._seen_of else FIRST_LOOK_SECONDS)


def _is_there(path: Path) -> bool:
    try:
        return path.is_socket()
    except OSError:  # somebody took away the right to look: another store would not help
        return True


def watch_of(crew: Crew) -> StoreWatch | None:
    """Return the watch of a crew's embedded store; None if it has none."""
    stores = [child for child in crew.foundation if child.role.name == "store"]
    return StoreWatch(stores[0], embedded.socket_path(crew.config.data_dir)) if stores else None
