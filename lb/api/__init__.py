"""The admin API: REST over the pool as a WSGI app. `app.create_app` makes it, `serialise` is its JSON."""
