from __future__ import annotations

import os
import signal

from lb.processes.signals import incoming


def test_signals_come_as_bytes() -> None:
    before = signal.getsignal(signal.SIGUSR1)
    with incoming([signal.SIGUSR1, signal.SIGUSR2]) as signals:
        os.kill(os.getpid(), signal.SIGUSR1)
        os.kill(os.getpid(), signal.SIGUSR2)
        assert set(signals.recv(10)) == {signal.SIGUSR1, signal.SIGUSR2}
    assert signal.getsignal(signal.SIGUSR1) == before


def test_signals_that_were_held_back_come_too() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    signal.raise_signal(signal.SIGUSR1)  # to this thread: another one, if there is any, would take it
    with incoming([signal.SIGUSR1]) as signals:
        assert signals.recv(10) == bytes([signal.SIGUSR1])
