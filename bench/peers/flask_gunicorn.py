"""gunicorn's configuration for flask_validator.py: with as many processes and threads as ours."""

import os

wsgi_app = "bench.peers.flask_validator:app"
bind = f"127.0.0.1:{os.environ['PORT']}"
workers = 2
worker_class = "gthread"
threads = 32
