"""Measures `lb` beside nginx, HAProxy and Caddy, and the store by itself; see `lb/docs/benchmarks.md`."""
