"""The processor time of other processes, from the kernel's own accounting (Linux)."""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Iterable
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)


def cpu_seconds(pids: Iterable[int]) -> float:
    """Return what the processes have used so far, user and system, all threads, in nanosecond steps."""
    return sum(time.clock_gettime(_cpu_clock(pid)) for pid in pids)


def busy_seconds(core: int) -> float:
    """Return how long a core has not been idle so far, whoever used it, in steps of a clock tick (10 ms)."""
    prefix = f"cpu{core} "
    [line] = [line for line in Path("/proc/stat").read_text().splitlines() if line.startswith(prefix)]
    user, nice, system, _idle, _iowait, interrupts, soft_interrupts, stolen = map(int, line.split()[1:9])
    return (user + nice + system + interrupts + soft_interrupts + stolen) / os.sysconf("SC_CLK_TCK")


def _cpu_clock(pid: int) -> int:
    # /proc/<pid>/stat counts in ticks of 10 ms, and the schedstat of threads forgets those that ended;
    # the process's own clock does neither.
    clock = ctypes.c_int()
    error = _libc.clock_getcpuclockid(pid, ctypes.byref(clock))
    if error:
        raise ProcessLookupError(error, os.strerror(error), f"process {pid}")
    return clock.value
