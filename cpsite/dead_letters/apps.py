from django.apps import AppConfig


class DeadLettersConfig(AppConfig):
    name = "cpsite.dead_letters"
    # The migration and the permissions already exist under this label, so it must not change.
    label = "uploader"
    verbose_name = "Dead letters"
