from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('audit', '0009_days'),
    ]

    operations = [
        migrations.AlterField(
            model_name='auditevent',
            name='kind',
            field=models.CharField(choices=[('accepted', 'Accepted'), ('refused', 'Refused'), ('stored', 'Stored'), ('failed', 'Failed'), ('redriven', 'Redriven'), ('discarded', 'Discarded'), ('read', 'Read'), ('pruned', 'Pruned')], max_length=10),
        ),
    ]
