"""gunicorn's configuration for flask_validator.py: as many processes and threads as ours has."""

import os

wsgi_app = "bench.peers.flask_validator:app"
bind = f"127.0.0.1:{os.environ['PORT']}"
workers = 2
worker_class = "gthread"
threads = 32
