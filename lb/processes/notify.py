"""What systemd is told of the supervisor's life (sd_notify(3)); without systemd nothing is told."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress


class Notifier:
    """The line to systemd, `Type=notify`, with its watchdog. Times are of `time.monotonic`."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._address = environ.get("NOTIFY_SOCKET", "")
        if self._address.startswith("@"):  # not in the file system
            self._address = f"\0{self._address[1:]}"
        self._beat_seconds = _beat_seconds(environ) if self._address else None
        self._beat_at = 0.0

    def ready(self, status: str = "") -> None:
        """Tell that the balancer serves clients, as it was configured last."""
        self._tell("READY=1", *([f"STATUS={status}"] if status else []))

    def reloading(self) -> None:
        """Tell that a new configuration is being put to use; `ready` must follow."""
        self._tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """Tell that the end has begun."""
        self._tell("STOPPING=1")

    def beat(self, now: float) -> None:
        """Tell that the supervisor's loop turns, as often as the watchdog wants it."""
        if self._beat_seconds is not None and now >= self._beat_at:
            self._beat_at = now + self._beat_seconds
            self._tell("WATCHDOG=1")

    def deadline(self) -> float | None:
        """When `beat` must be called again; None for never."""
        return None if self._beat_seconds is None else self._beat_at

    def _tell(self, *lines: str) -> None:
        if not self._address:
            return
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
            line.settimeout(1.0)
            line.sendto("\n".join(lines).encode(), self._address)


def _beat_seconds(environ: Mapping[str, str]) -> float | None:
    """Return half of the watchdog's patience, as systemd advises; None if it does not watch this process."""
    patience, pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    if not patience.isdecimal() or pid not in {"", str(os.getpid())}:
        return None
    return int(patience) / 2e6
