"""The validator as a WSGI application. It does not start with a wrong configuration."""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cpsite.settings")
os.environ.setdefault("CPSITE_SERVICE", "validator")
django.setup(set_prefix=False)

from cpsite import checks  # noqa: E402 - checks need the apps that the line above loads
from cpsite.web.wsgi_handler import Handler  # noqa: E402

checks.require(checks.VALIDATOR)

application = Handler()
