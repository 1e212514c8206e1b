"""How every process logs: one line on standard error with the time and who says it."""

from __future__ import annotations

import logging


def configure(who: str) -> None:
    """Log what `lb` says from level INFO, and what libraries say from WARNING, as `who`."""
    logging.basicConfig(
        level=logging.WARNING,
        format=f"%(asctime)s lb[{who}] %(message)s",
        datefmt="%Y-%m-%d %H:%M:%S",
    )
    logging.getLogger("lb").setLevel(logging.INFO)


def reopen() -> None:
    """Write on to files of the same names: after a rotation those that are open have other ones."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.FileHandler):
            handler.close()  # the next line opens it again
