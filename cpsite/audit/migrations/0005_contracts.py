from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('audit', '0004_actor_index'),
    ]

    operations = [
        migrations.AddField(
            model_name='auditevent',
            name='contract',
            field=models.CharField(blank=True, max_length=30, null=True),
        ),
    ]
