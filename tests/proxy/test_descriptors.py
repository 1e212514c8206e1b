from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lb.proxy.descriptors import RESERVE, Budget, budget

LIMITED = (
    "import resource\n"
    "_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)\n"
    "resource.setrlimit(resource.RLIMIT_NOFILE, (%d, %d))\n"
    "from lb.proxy import descriptors\n"
)


def said(program: str, soft: int, hard: int) -> str:
    command = [sys.executable, "-c", LIMITED % (soft, hard) + program]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout.strip()


@pytest.mark.parametrize(
    ("clients", "open_files", "expected"),
    [
        (10_000, 256, Budget(96, 96)),
        (10_000, 65_536, Budget(10_000, 55_472)),
        (1, 65_536, Budget(1, 65_471)),
        (100, 40, Budget(8, 8)),  # too few for anything
    ],
)
def test_both_sides_have_their_share(clients: int, open_files: int, expected: Budget) -> None:
    assert budget(clients, open_files) == expected


@given(st.integers(1, 100_000), st.integers(RESERVE + 16, 1 << 30))
def test_each_client_can_have_a_server_and_the_reserve_stays(clients: int, open_files: int) -> None:
    shares = budget(clients, open_files)
    assert 1 <= shares.clients <= clients
    assert shares.servers >= shares.clients
    assert shares.clients + shares.servers + RESERVE <= open_files


def test_the_limit_is_raised_as_far_as_the_system_lets() -> None:
    program = (
        "descriptors.raise_limit(10_000); print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])\n"
        "print(descriptors.shortage(10_000))"
    )
    limit, line = said(program, 100, 256).splitlines()
    assert limit == "256"
    assert line == (
        "limits.clients: 10000, but 256 open files allow 96 for each worker: "
        "raise the limit (LimitNOFILE, ulimit -n) to 20064, or set fewer"
    )
    assert said(program, 100, 4096).startswith("4096\nlimits.clients: 10000, but 4096 open files allow 2016")


def test_nothing_is_said_if_all_is_well() -> None:
    assert said("print(repr(descriptors.shortage(96)))", 100, 256) == "''"
    assert said("print(repr(descriptors.shortage(106)))", 100, 256) == "''"
    assert said("print(repr(descriptors.shortage(107)))", 100, 256) != "''"
