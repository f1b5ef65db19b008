from django.apps import AppConfig


class DeadLettersConfig(AppConfig):
    name = "cpsite.dead_letters"
    # The migration and the permissions were made under this label, and keep it.
    label = "uploader"
    verbose_name = "Dead letters"
