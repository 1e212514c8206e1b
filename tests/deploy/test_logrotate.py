"""Debian's logrotate turns the access log of a running balancer, and no line is lost."""

from __future__ import annotations

import re
from pathlib import Path

from tests.deploy.files import DEPLOY, needs, run
from tests.integration.balancer import Balancer
from tests.integration.fleet import Fleet, ok
from tests.integration.servers import servers
from tests.support import eventually

RULES = (DEPLOY / "logrotate").read_text()


def test_the_file_is_renamed_and_the_supervisor_told() -> None:
    assert "copytruncate" not in RULES
    assert "systemctl kill --kill-whom=main --signal=USR1 lb.service" in RULES
    service = (DEPLOY / "lb.service").read_text()
    folder = re.findall(r"^(/var/log/\w+)/\*\.log {$", RULES, re.MULTILINE)
    assert [f"LogsDirectory={name.removeprefix('/var/log/')}" in service for name in folder] == [True]


@needs("logrotate")
def test_no_line_is_lost(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir(mode=0o750)
    config = {"accessLog": {"path": str(logs / "access.log")}}
    with servers(2) as two:
        for server in two:
            server.behaviour = ok
        config["servers"] = [f"http://localhost:{one.port}" for one in two]
        with Balancer(config, workers=2) as balancer:
            fleet = Fleet(balancer, two)
            with fleet.load(connections=4) as load:
                for turn in (1, 2):
                    eventually(lambda: size(logs / "access.log") > 0, what=f"lines before turn {turn}")
                    rotate(tmp_path, balancer.process.pid)
                eventually((logs / "access.log").exists, what="a new file")
            assert load.errors == []
            answered = len(load.outcomes)
            written = eventually(lambda: (found := lines(logs)) >= answered and found, what="all the lines")
            assert written == answered
    assert sorted(path.name for path in logs.iterdir()) == ["access.log", "access.log.1", "access.log.2.gz"]


@needs("logrotate")
def test_a_balancer_that_is_stopped_is_not_told(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir(mode=0o750)
    (tmp_path / "logs/access.log").write_text("a line\n")
    rotate(tmp_path, supervisor=None)
    assert (tmp_path / "logs/access.log.1").read_text() == "a line\n"


def rotate(home: Path, supervisor: int | None) -> None:
    """Do what the daily job does, but now, and for this balancer; None: for one that is stopped."""
    rules = RULES.replace("/var/log/lb/", f"{home}/logs/")
    for command, instead in (
        ("systemctl is-active --quiet lb.service", "false" if supervisor is None else "true"),
        ("systemctl kill --kill-whom=main --signal=USR1 lb.service", f"kill -USR1 {supervisor}"),
    ):
        assert command in rules
        rules = rules.replace(command, instead)
    (home / "rules").write_text(rules)
    (home / "rules").chmod(0o644)
    done = run("logrotate", "--force", "--state", home / "state", home / "rules")
    assert done.returncode == 0, done.stderr


def size(log: Path) -> int:
    return log.stat().st_size if log.exists() else 0


def lines(logs: Path) -> int:
    """Count them in all files, the compressed ones among them."""
    names = [str(path) for path in logs.iterdir()]
    return run("zcat", "-f", *names).stdout.count("\n")
