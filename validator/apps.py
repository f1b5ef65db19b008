from django.apps import AppConfig
from django.conf import settings
from django.core.checks import register


class ValidatorConfig(AppConfig):
    name = "validator"

    def ready(self) -> None:
        from cpsite import checks as shared
        from cpsite.web.health import readiness
        from validator import checks

        for check in (
            checks.check_tokens,
            checks.check_contracts,
            checks.check_secret_key,
            checks.check_body_limit,
        ):
            register(check, shared.VALIDATOR, deploy=True)
        if settings.SERVES_API:
            from validator import publisher, tokens

            readiness.required |= {"tokens": tokens.check, "queue": publisher.check}
        else:
            readiness.needed.add("database")
