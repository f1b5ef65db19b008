"""What the admin needs in order to have a page, and permissions, for dead letters."""

from django.db import models


class DeadLetterEntry(models.Model):
    """A name for the admin and its permissions. There is no table: SQS holds dead letters."""

    class Meta:
        managed = False
        default_permissions = ("view",)
        permissions = [("redrive_deadletterentry", "Can redrive dead letters")]
        verbose_name = "dead letter"
        verbose_name_plural = "dead letters"

    def __str__(self) -> str:
        return "dead letters"
