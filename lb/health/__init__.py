"""Health checks: `checker` asks the servers, `checks` how, and `rise_fall` decides when they go up or down.

`names` bounds the look-ups of names. Beside that, `dead_workers` takes back what dead workers held, and
`messenger` tells `webhook` of events.
"""
