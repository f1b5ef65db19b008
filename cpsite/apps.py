from django.apps import AppConfig
from django.core.checks import register

from cpsite import checks


class CpsiteConfig(AppConfig):
    name = "cpsite"

    def ready(self) -> None:
        for check in (
            checks.check_queue_url,
            checks.check_dead_letter_queue,
            checks.check_queue_endpoint,
            checks.check_profile,
        ):
            register(check, checks.VALIDATOR, checks.UPLOADER, deploy=True)
