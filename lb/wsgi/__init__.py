"""The balancer for servers that run WSGI applications: `gunicorn -k gevent -w 4 lb.wsgi:application`.

The configuration is read here, as `lb worker` reads it: from the file that LB_CONFIG names or config.json,
and from LB_* in the environment. An error in it makes the import fail, so that no server starts with it.
"""

from __future__ import annotations

import os

from lb.config import load
from lb.wsgi.app import Application

application = Application(load(None, os.environ, {}))
