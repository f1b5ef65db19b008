"""The validator as a WSGI application. It does not start with a wrong configuration."""

import os
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cpsite.settings")
os.environ.setdefault("CPSITE_SERVICE", "validator")
django.setup(set_prefix=False)

# ruff: noqa: E402 - all of it needs the apps that the line above loads
from django.conf import settings

from cpsite import checks
from cpsite.web.wsgi_handler import Handler

checks.require(checks.VALIDATOR)

application: Any = Handler()
if settings.SERVES_API:
    from validator.message_handler import MessageHandler

    application = MessageHandler(pages=application)
