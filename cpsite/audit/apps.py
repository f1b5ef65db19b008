from django.apps import AppConfig


class AuditConfig(AppConfig):
    name = "cpsite.audit"
    label = "audit"
    verbose_name = "Audit log"
