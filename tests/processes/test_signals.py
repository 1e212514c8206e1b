from __future__ import annotations

import os
import select
import signal

from lb.processes.signals import incoming


def test_signals_wait_until_they_are_taken() -> None:
    before = signal.getsignal(signal.SIGUSR1)
    with incoming([signal.SIGUSR1, signal.SIGUSR2]) as signals:
        assert signals.take() == []
        os.kill(os.getpid(), signal.SIGUSR1)
        os.kill(os.getpid(), signal.SIGUSR2)
        assert select.select([signals], [], [], 10)[0]
        assert signals.take() == [signal.SIGUSR1, signal.SIGUSR2]
        assert not select.select([signals], [], [], 0)[0]
        assert signals.take() == []
    assert signal.getsignal(signal.SIGUSR1) == before


def test_signals_that_were_held_back_come_too() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    signal.raise_signal(signal.SIGUSR1)  # to this thread: another one, if there is any, would take it
    with incoming([signal.SIGUSR1]) as signals:
        assert signals.take() == [signal.SIGUSR1]


def test_a_storm_of_signals_hides_no_other() -> None:
    """A socket is full after some hundreds of bytes: the order to stop, or a death, would be lost."""
    with incoming([signal.SIGHUP, signal.SIGTERM]) as signals:
        for _ in range(5000):
            signal.raise_signal(signal.SIGHUP)
        signal.raise_signal(signal.SIGTERM)
        assert signals.take() == [*[signal.SIGHUP] * 5000, signal.SIGTERM]
