"""A model without a table: the admin needs one for a page and its permissions."""

from django.db import models


class DeadLetterEntry(models.Model):
    """Gives the admin a name and permissions. There is no table: SQS holds the dead letters."""

    class Meta:
        managed = False
        default_permissions = ("view",)
        permissions = [
            ("redrive_deadletterentry", "Can redrive dead letters"),
            ("discard_deadletterentry", "Can discard dead letters"),
            ("view_content_deadletterentry", "Can view the content of dead letters"),
        ]
        verbose_name = "dead letter"
        verbose_name_plural = "dead letters"

    def __str__(self) -> str:
        return "dead letters"
