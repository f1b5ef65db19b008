"""The groups Viewers and Operators.

It only adds rows, so the previous version can go on serving. Django creates a model's permissions
only after all migrations. This one creates them under the same names, and Django then finds them.
"""

from django.db import migrations

VIEW = [
    ("audit", "auditevent", "view_auditevent", "Can view audit event"),
    ("uploader", "deadletterentry", "view_deadletterentry", "Can view dead letter"),
]
REDRIVE = [
    ("uploader", "deadletterentry", "redrive_deadletterentry", "Can redrive dead letters"),
]
ROLES = {"Viewers": VIEW, "Operators": VIEW + REDRIVE}


def create_roles(apps, schema_editor):
    ContentType = apps.get_model("contenttypes", "ContentType")
    Group = apps.get_model("auth", "Group")
    Permission = apps.get_model("auth", "Permission")
    database = schema_editor.connection.alias
    for name, permissions in ROLES.items():
        group, _ = Group.objects.using(database).get_or_create(name=name)
        for app_label, model, codename, title in permissions:
            content_type, _ = ContentType.objects.using(database).get_or_create(
                app_label=app_label, model=model
            )
            permission, _ = Permission.objects.using(database).get_or_create(
                content_type=content_type, codename=codename, defaults={"name": title}
            )
            group.permissions.add(permission)


def delete_roles(apps, schema_editor):
    """Delete the groups. Their users stay, but lose the permissions of the groups."""
    Group = apps.get_model("auth", "Group")
    Group.objects.using(schema_editor.connection.alias).filter(name__in=ROLES).delete()


class Migration(migrations.Migration):
    dependencies = [
        ("audit", "0001_initial"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
        ("uploader", "0001_initial"),
    ]

    operations = [migrations.RunPython(create_roles, delete_roles)]
