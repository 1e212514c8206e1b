"""Health checks: `checker` asks the servers, `checks` how, and `rise_fall` decides when they go up or down.

A check's `finding` is put in `words`; `names` bounds the look-ups of names, and `address_watch` decides which
addresses of a name are left out. `returns` checks the servers that were removed. Beside that, `dead_workers`
takes back what dead workers held, and `messenger` tells `webhook` of events.
"""
