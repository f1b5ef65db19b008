from django.apps import AppConfig
from django.core.checks import register


class UploaderConfig(AppConfig):
    name = "uploader"
    # The label `uploader` is taken: the permissions for dead letters use it
    # (cpsite/dead_letters/apps.py).
    label = "uploader_worker"

    def ready(self) -> None:
        from cpsite import checks as shared
        from uploader import checks

        register(checks.check_bucket, shared.UPLOADER, deploy=True)
