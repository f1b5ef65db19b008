"""The validator as a WSGI application. It does not come up with a configuration that is wrong."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cpsite.settings")

application = get_wsgi_application()

from cpsite import checks  # noqa: E402 - checks need the apps that the line above loads

checks.require(checks.VALIDATOR)
