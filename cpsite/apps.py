from django.apps import AppConfig
from django.core.checks import register

from cpsite import checks


class CpsiteConfig(AppConfig):
    name = "cpsite"

    def ready(self) -> None:
        register(checks.check_queue_url, checks.VALIDATOR, checks.UPLOADER, deploy=True)
