"""The admin API, a WSGI app: REST over the pool, metrics, and the dashboard.

`app` makes it; `access` says who may use it. `servers`, `strategy`, `state`, `metrics`, `dashboard` and
`openapi` hold the routes. `bodies` are what clients send, `serialise` and `shapes` what they get.
"""
