"""`lb`: run the balancer, or one of its roles, and check its configuration.

Modules are imported inside the commands: `lb --help` needs none of them, and gevent must patch the standard
library before redis and urllib3 are imported.
"""

# ruff: noqa: PLC0415

from __future__ import annotations

import functools
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from lb import __version__
from lb.errors import ConfigError, LBError
from lb.options import FILE, examples, load_from, warn_of_environment, with_inherited, with_settings
from lb.terminal import Commands, open_streams, output_of

if TYPE_CHECKING:
    from lb.config import Config
    from lb.processes.role import Inherited

    Load = Callable[[], Config]

_USUAL_FILE = Path("config.json")
_DEMO_SERVERS = tuple(f"http://localhost:{port}" for port in range(5001, 5006))


def _patch() -> None:
    """Make the standard library cooperative; before anything else of a role is imported."""
    import gevent
    from gevent import monkey

    monkey.patch_all()
    from lb.processes import log

    log.attach(gevent.get_hub(), gevent.spawn_later)


class _InOrder(Commands):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names as the commands stand here: what people run first comes first."""
        return list(self.commands)


@click.group(cls=_InOrder, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="lb")
def cli() -> None:
    """Balance HTTP over servers; the workers, on every host, act as one.

    Every option can also be given as LB_<NAME> in the environment, or in config.json.

    \b
    Examples:
      lb demo
      lb run --server http://10.0.0.1:80 --server http://10.0.0.2:80
      lb run --config /etc/lb/config.json --redis redis://cache.example:6379/0
      lb check && kill -HUP "$(pgrep -of 'lb run')"
    """


@cli.command(
    epilog=examples(
        "lb run --server http://10.0.0.1:80 --server http://10.0.0.2:80",
        "lb run --redis redis://cache.example:6379/0 --access-log stdout",
    )
)
@with_settings
def run(load: Load) -> None:
    """Run everything that one host needs.

    That is the embedded store unless --redis is given, the workers, the health-checker and the admin API.
    SIGTERM or Ctrl-C lets requests in flight finish, a second one or SIGQUIT does not. SIGHUP reads the
    configuration again, SIGUSR2 goes on as the program that is installed now, SIGTTIN and SIGTTOU bring one
    worker more or fewer, SIGUSR1 reopens logs; none of them loses a request.
    """
    _supervise(load)


@cli.command(epilog=examples("lb demo", "lb demo --strategy least-connections --access-log stdout"))
@with_settings
def demo(load: Load) -> None:
    """Try it out: demo servers and the whole balancer.

    The demo servers are those that the config names, or five on localhost:5001 to 5005. Ctrl-C ends all.
    """
    _supervise(functools.partial(_with_demo_servers, load), demo=True)


def _supervise(load: Load, *, demo: bool = False) -> NoReturn:
    from lb.processes import signals

    signal.pthread_sigmask(
        signal.SIG_BLOCK, signals.CHANGES
    )  # until they are taken: they would end or stop us
    from lb.processes import log, supervisor

    log.configure("supervisor")
    warn_of_environment()
    sys.exit(supervisor.run(load, sys.argv[1:], demo=demo))


def _with_demo_servers(load: Load) -> Config:
    from lb.config import parse_server_url

    config = load()
    if config.servers:
        return config
    return config.model_copy(update={"servers": tuple(map(parse_server_url, _DEMO_SERVERS))})


@cli.command(epilog=examples("lb check /etc/lb/config.json && systemctl reload lb"))
@click.argument("file", type=FILE, default=_USUAL_FILE, envvar="LB_CONFIG")
def check(file: Path) -> None:
    """Check a config FILE and report every problem.

    The exit status is 0 if it is valid, else 1 with one line for each problem. What is valid but hardly meant
    is a warning. Default: config.json.
    """
    from lb.config import may_exist, setting_warnings
    from lb.proxy import descriptors

    warn_of_environment()
    if file == _USUAL_FILE and not may_exist(file):
        raise LBError(f"{file}: no such file here: name one; what holds without any, `lb config` shows")
    config = load_from(file, {})
    for warning in setting_warnings(config):
        click.echo(f"lb: warning: {file}: {warning}", err=True)
    if too_few := descriptors.shortage(config.limits.clients):
        click.echo(f"lb: warning: {too_few}", err=True)
    click.echo(f"{file}: valid")


@cli.command("config", epilog=examples("LB_WORKERS=4 lb config", "lb config --schema > config.schema.json"))
@click.option("--show", "wanted", flag_value="show", default=True, help="The settings in force. The default.")
@click.option("--schema", "wanted", flag_value="schema", help="A JSON Schema of config.json, for editors.")
@click.option("--reference", "wanted", flag_value="reference", help="All settings, in Markdown.")
@with_settings
def config_(load: Callable[..., Any], wanted: str) -> None:
    """Show each setting in force and where it came from.

    With --schema or --reference, show what can be set.
    """
    from lb.config import effective, reference

    match wanted:
        case "show":
            warn_of_environment()
            click.echo(load(effective.show))
        case "schema":
            click.echo(reference.schema_text(), nl=False)
        case "reference":
            click.echo(reference.reference(), nl=False)


@cli.command(epilog=examples("lb servers config.json"))
@click.argument("file", type=FILE, required=False)
@with_inherited
def servers(file: Path | None, inherited: Inherited) -> None:
    """Run the demo servers alone.

    They are the servers on this machine that the config FILE names; each answers with its own name.
    """
    _patch()
    from lb.processes import demo_servers, role

    config = role.begin("servers", inherited, functools.partial(load_from, file, {}))
    demo_servers.run(config, inherited.control())


@cli.command(epilog=examples("lb store --data-dir /var/lib/lb"))
@with_inherited
@with_settings
def store(inherited: Inherited, load: Load) -> None:
    """Run the embedded store alone."""
    from lb.processes import role, store

    config = role.begin("store", inherited, load)
    role.introduce(inherited, f"keeping data in {config.data_dir.resolve()}", config)
    store.run_embedded(config.data_dir)


@cli.command(hidden=True)
@with_inherited
@with_settings
def reconcile(inherited: Inherited, load: Load) -> None:
    """Put what the config names into the store, then end; `lb run` does this at its start."""
    from lb.processes import role, store

    config = role.begin("reconcile", inherited, load)
    store.reconcile(config, store.start_patience_seconds(config))


@cli.command(hidden=True)
@with_inherited
@with_settings
def rehearse(inherited: Inherited, load: Load) -> None:
    """Load all that `lb run` needs, then end; a running one tries a new program so before it becomes it.

    That must be able to read the configuration anew, and the one in force.
    """
    from lb.processes import role, supervisor

    role.begin("rehearse", inherited, load)
    supervisor.usable(load)


@cli.command(epilog=examples("lb worker --port :8080 --redis redis://cache.example:6379/0"))
@with_inherited
@with_settings
def worker(inherited: Inherited, load: Load) -> None:
    """Run one worker alone; several can share the port.

    It waits for the store and puts the servers of the config into the pool first.
    """
    _patch()
    from lb.processes import role, sockets, store, worker

    config = role.begin("worker", inherited, load)
    worker.try_out(config)
    if not inherited.supervised:
        store.reconcile(config)
    listener = inherited.listener(config.port, sockets.CLIENT_SETTING)
    role.introduce(inherited, f"listening on {sockets.url_of(listener)}", config)
    worker.run(config, listener, inherited.control(), inherited.scoreboard(), inherited.slot)


@cli.command("health-checker", epilog=examples("lb health-checker --redis redis://cache.example:6379/0"))
@with_inherited
@with_settings
def health_checker(inherited: Inherited, load: Load) -> None:
    """Run one health-checker alone; of several, one leads."""
    _patch()
    from lb.processes import health_checker, role, store

    config = role.begin("health-checker", inherited, load)
    if not inherited.supervised:
        store.wait(config)
    role.introduce(inherited, "checking the servers of the pool", config)
    health_checker.run(config, inherited.control())


@cli.command(epilog=examples("LB_ADMIN_LISTEN=127.0.0.1:8081 lb api --redis redis://cache.example:6379/0"))
@with_inherited
@with_settings
def api(inherited: Inherited, load: Load) -> None:
    """Run the admin API alone."""
    _patch()
    from lb.processes import api, role, sockets, store

    config = role.begin("api", inherited, load)
    if not inherited.supervised:
        store.wait(config)
    listener = inherited.listener(config.admin.listen, sockets.ADMIN_SETTING)
    role.introduce(inherited, f"admin API on {sockets.url_of(listener)}", config)
    api.run(config, listener, inherited.control(), inherited.scoreboard())


def main() -> None:
    """Run the command line; an expected error is one line per problem and exit status 1."""
    open_streams()
    try:
        with output_of("lb"):
            cli(prog_name="lb")
    except LBError as error:
        with suppress(BrokenPipeError):  # nobody reads it: the status still tells
            for problem in error.problems if isinstance(error, ConfigError) else [error]:
                click.echo(f"lb: error: {problem}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
