"""A Python that would refuse every request does not get to serve."""

from __future__ import annotations

import itertools
import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lb.errors import ConfigError
from lb.proxy.headers import HeaderSettings
from lb.proxy.preflight import preflight

#: Has every pattern that `re` is asked for match nothing, if it is one of the block of a message's fields.
SPOILED = """
import re
compile_ = re.compile
re.compile = lambda pattern, flags=0: compile_(
    b"(?!)" if isinstance(pattern, bytes) and pattern.endswith(rb")*\\r\\n\\r\\n") else pattern, flags
)
"""
START = "import sys; sys.argv[0] = 'lb'; from lb.__main__ import main; main()"


def test_a_sound_python_passes_whatever_is_set() -> None:
    for request_id, in_response, forwarded in itertools.product((False, True), repeat=3):
        for via, server in ((b"", b""), (b"lb", b"X-Served-By")):
            preflight(
                HeaderSettings(
                    request_id=request_id,
                    request_id_in_response=in_response,
                    forwarded=forwarded,
                    via=via,
                    server=server,
                )
            )


class AllSpecial(HeaderSettings):
    """Takes every field for one that means something to us, so none is passed on."""

    @property
    def special_in_requests(self) -> re.Pattern[bytes]:
        return re.compile(rb"\r\n([a-zA-Z-]+):[\t ]*+([^\r]*+)")

    special_in_responses = special_in_requests


def test_what_comes_out_wrong_is_named() -> None:
    with pytest.raises(ConfigError, match=r"misreads a request's fields, .*a response's head") as told:
        preflight(AllSpecial())
    assert platform.python_version() in str(told.value)


@pytest.mark.parametrize("command", ["run", "demo", "worker", "rehearse"])
def test_a_start_that_can_never_serve_says_so_and_ends(command: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(
        '{"port": "127.0.0.1:0", "admin": {"listen": "127.0.0.1:0"}, "servers": ["http://127.0.0.1:1"]}'
    )
    done = subprocess.run(
        [sys.executable, "-c", SPOILED + START, command],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    said = done.stderr.splitlines()[-1]
    assert said.startswith(f"lb: error: this Python, {platform.python_implementation()}")
    assert platform.python_version() in said
    assert "malformed header field" in said
