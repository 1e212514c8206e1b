"""Engines of more than one node: which node is the primary now.

All keys of a pool share one hash tag, so at any time a single node holds the pool. An engine is therefore no
more than a `Finder`: each new connection asks it where to connect. From then on it is a connection like any
other, for scripts, pipelines, blocking reads and the lease line alike.
"""
