"""Breaks a running balancer in every way at random, under load, and holds it to its contract.

`python -m tests.chaos --seeds 10 --seconds 60`: each seed is a schedule of kills, freezes, losses and changes
of the pool, which `--seed N` plays again. Exit status 1 if anything was violated.
"""
