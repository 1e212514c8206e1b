"""The scoreboard of one host: memory that its workers count in, and that outlives each of them.

Each slot's cells are written by one worker alone, so an addition needs no lock, and is there for the others
at once and after `kill -9`. A worker that takes a dead one's slot goes on where that one was.
"""

from __future__ import annotations

import mmap
import os
import secrets
import tempfile

from lb.metrics import layout

_MAGIC = f"lb scoreboard {layout.LAYOUT}"
_HEADS_AT = layout.FRONT_BYTES
_HEAD_BYTES = layout.HEAD_CELLS * layout.CELL_BYTES
_REGIONS_AT = _HEADS_AT + layout.SLOTS * _HEAD_BYTES
_BYTES = _REGIONS_AT + layout.SLOTS * layout.REGION_BYTES


def create(host: str) -> int:
    """Make a scoreboard and return its descriptor. Memory is used only where something is counted."""
    fd = _unnamed_file()
    os.ftruncate(fd, _BYTES)
    text = "\n".join((_MAGIC, secrets.token_hex(8), host)).encode()
    os.pwrite(fd, text[: layout.TEXT_BYTES], 0)
    return fd


def is_known(fd: int) -> bool:
    """Whether a descriptor is of a scoreboard that this version of lb can read."""
    return _text(fd)[0] == _MAGIC


class Scoreboard:
    """One process's view of it. The descriptor stays the caller's, and must stay open."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        _, self.run, self.host = _text(fd)  # what tells it from all others; where it is
        front = memoryview(mmap.mmap(fd, _REGIONS_AT))
        self._front = front[:_HEADS_AT].cast("Q")
        self._heads = front[_HEADS_AT:].cast("Q")
        self._regions: dict[int, memoryview] = {}

    def grant(self, slot: int) -> None:
        """Count a slot in; only who gives slots to workers does."""
        self._front[layout.GRANTED] = max(self._front[layout.GRANTED], slot + 1)

    @property
    def granted(self) -> range:
        """All slots that ever were a worker's."""
        return range(self._front[layout.GRANTED])

    @property
    def live(self) -> list[int]:
        """The slots whose worker is at work."""
        return [slot for slot in self.granted if self._heads[slot * layout.HEAD_CELLS + layout.PID]]

    def vacate(self, slot: int) -> None:
        """Take a worker that has ended off its slot; what it counted stays."""
        head = self.head(slot)
        for cell in (layout.PID, layout.CLIENTS, layout.DEGRADED, layout.ACCEPTING, layout.MAX_CLIENTS):
            head[cell] = 0

    def head(self, slot: int) -> memoryview:
        """Return a slot's head: a few cells that others look at often."""
        start = slot * layout.HEAD_CELLS
        return self._heads[start : start + layout.HEAD_CELLS]

    def region(self, slot: int) -> memoryview:
        """Return the bytes of a slot's region."""
        region = self._regions.get(slot)
        if region is None:
            start = _REGIONS_AT + slot * layout.REGION_BYTES
            region = memoryview(mmap.mmap(self._fd, layout.REGION_BYTES, offset=start))
            self._regions[slot] = region
        return region

    def note(self, text: str) -> None:
        """Keep a line of text for the processes that will replace this one."""
        # At the end, between two line ends: who is killed meanwhile leaves the last one as it was.
        os.pwrite(self._fd, f"\n{text}\n".encode(), os.fstat(self._fd).st_size)

    @property
    def noted(self) -> str:
        """The line that was kept last, or ""."""
        kept = os.pread(self._fd, os.fstat(self._fd).st_size - _BYTES, _BYTES).decode()
        return next(filter(None, reversed(kept.split("\n")[:-1])), "")

    def clients_of_others(self, slot: int) -> list[int]:
        """Return how many clients each other worker of this host has that takes new ones."""
        heads, width = self._heads, layout.HEAD_CELLS
        end = self._front[layout.GRANTED] * width
        accepting, clients = heads[layout.ACCEPTING : end : width], heads[layout.CLIENTS : end : width]
        return [
            count
            for other, (takes, count) in enumerate(zip(accepting, clients, strict=True))
            if takes and other != slot
        ]


def names_of(region: memoryview, head: memoryview) -> dict[int, str]:
    """Return which rows of a region have a name, and which."""
    return {
        row: _name(region, row)
        for row in range(layout.FIRST_SERVER_ROW, layout.FIRST_SERVER_ROW + head[layout.NAMED_ROWS])
    }


def _name(region: memoryview, row: int) -> str:
    start = row * layout.NAME_BYTES
    length = int.from_bytes(region[start : start + 2], "little")
    return bytes(region[start + 2 : start + 2 + length]).decode()


def _text(fd: int) -> list[str]:
    text = os.pread(fd, layout.TEXT_BYTES, 0).rstrip(b"\0").decode(errors="replace")
    return [*text.split("\n"), "", ""][:3]


def _unnamed_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("lb-scoreboard")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
