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
        migrations.AddField(
            model_name='auditevent',
            name='sqs_message_id',
            field=models.CharField(blank=True, max_length=100, null=True),
        ),
        migrations.AlterField(
            model_name='auditevent',
            name='kind',
            field=models.CharField(choices=[('accepted', 'Accepted'), ('refused', 'Refused'), ('stored', 'Stored'), ('failed', 'Failed'), ('redriven', 'Redriven'), ('discarded', 'Discarded'), ('read', 'Read')], max_length=10),
        ),
    ]
