"""Permissions to view the content of dead letters and to discard them, for the group Operators.

It only adds rows, so the previous version can go on serving. As in the audit log's 0002_roles,
Django finds the permissions that are made here. A site without the group gets none.
"""

from django.db import migrations

ADDED = [
    ("discard_deadletterentry", "Can discard dead letters"),
    ("view_content_deadletterentry", "Can view the content of dead letters"),
]
ROLE = "Operators"


def add_to_role(apps, schema_editor):
    ContentType = apps.get_model("contenttypes", "ContentType")
    Group = apps.get_model("auth", "Group")
    Permission = apps.get_model("auth", "Permission")
    database = schema_editor.connection.alias
    content_type, _ = ContentType.objects.using(database).get_or_create(
        app_label="uploader", model="deadletterentry"
    )
    for codename, title in ADDED:
        permission, _ = Permission.objects.using(database).get_or_create(
            content_type=content_type, codename=codename, defaults={"name": title}
        )
        for group in Group.objects.using(database).filter(name=ROLE):
            group.permissions.add(permission)


def take_from_role(apps, schema_editor):
    Permission = apps.get_model("auth", "Permission")
    names = [codename for codename, _ in ADDED]
    Permission.objects.using(schema_editor.connection.alias).filter(
        content_type__app_label="uploader", codename__in=names
    ).delete()


class Migration(migrations.Migration):
    dependencies = [
        ("uploader", "0001_initial"),
        ("audit", "0002_roles"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="deadletterentry",
            options={
                "default_permissions": ("view",),
                "managed": False,
                "permissions": [
                    ("redrive_deadletterentry", "Can redrive dead letters"),
                    ("discard_deadletterentry", "Can discard dead letters"),
                    ("view_content_deadletterentry", "Can view the content of dead letters"),
                ],
                "verbose_name": "dead letter",
                "verbose_name_plural": "dead letters",
            },
        ),
        migrations.RunPython(add_to_role, take_from_role),
    ]
