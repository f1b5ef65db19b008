from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('audit', '0006_contract_index'),
    ]

    operations = [
        migrations.AddField(
            model_name='auditevent',
            name='request_id',
            field=models.CharField(blank=True, max_length=128, null=True),
        ),
        migrations.AddField(
            model_name='auditevent',
            name='fields_at_fault',
            field=models.CharField(blank=True, max_length=255, null=True),
        ),
    ]
