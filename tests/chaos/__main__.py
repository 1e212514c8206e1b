"""`python -m tests.chaos`: many schedules, one after the other."""

from __future__ import annotations

import argparse
import sys

from tests.chaos import schedule
from tests.chaos.play import play


def main() -> int:
    """Play the schedules that the command line asks for; return 1 if anything was violated."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10, help="how many schedules")
    parser.add_argument("--seed", type=int, default=1, help="the first one's seed")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long each")
    parser.add_argument("--hosts", type=int, default=2)
    parser.add_argument("--workers", type=int, default=3, help="on each host")
    parser.add_argument("--clients", type=int, default=6, help="of each host")
    options = parser.parse_args()

    reports = []
    for seed in range(options.seed, options.seed + options.seeds):
        print(f"seed {seed}, {options.seconds:g} s, {options.hosts} hosts of {options.workers} workers")
        for step in schedule.make(seed, options.seconds):
            print(f"  {step}")
        report = play(
            seed,
            options.seconds,
            workers=options.workers,
            hosts=options.hosts,
            clients=options.clients,
            tell=lambda text: print(text, flush=True),
        )
        print(report, *report.violations, sep="\n  ", flush=True)
        reports.append(report)
    print("---", *reports, sep="\n")
    return int(any(report.violations for report in reports))


if __name__ == "__main__":
    sys.exit(main())
