"""Engines of more than one node: which of them is the primary now.

All keys of a pool share one hash tag, so one node holds a pool at any time. An engine is therefore only a
`Finder`: each new connection asks it where to go, and from there on it is a connection like any other, for
scripts, pipelines, blocking reads and the lease line alike.
"""
