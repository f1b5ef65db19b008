"""gunicorn's configuration as `cpsite/gunicorn.py` sets it, for tests in one process."""

import json
import subprocess
import sys
from functools import cache

from gunicorn.config import Config

#: What of it decides how a request is read.
_NAMES = (
    "limit_request_line",
    "limit_request_fields",
    "limit_request_field_size",
    "forwarded_allow_ips",
    "forwarder_headers",
    "secure_scheme_headers",
)
#: In a process of its own: the import patches all of Python's networking.
_PRINT = f"""
import json
from cpsite import gunicorn
print(json.dumps({{name: getattr(gunicorn, name) for name in {_NAMES!r}}}))
"""


@cache
def config() -> Config:
    made = subprocess.run([sys.executable, "-c", _PRINT], capture_output=True, check=True)
    found = Config()
    for name, value in json.loads(made.stdout).items():
        found.set(name, value)
    return found
