"""When a simulated pool was made and opens, and from where its liquidity moved."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("routing", "0007_least_inputs"),
    ]

    operations = [
        migrations.AddField(
            model_name="simulatedpool",
            name="follows",
            field=models.TextField(null=True),
        ),
        migrations.AddField(
            model_name="simulatedpool",
            name="made_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="simulatedpool",
            name="opens_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddConstraint(
            model_name="simulatedpool",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("follows", None), ("made_at", None), ("opens_at", None)),
                    models.Q(("made_at__isnull", False), ("opens_at__gte", models.F("made_at"))),
                    _connector="OR",
                ),
                name="simulated_pool_opens_after_it_was_made",
            ),
        ),
    ]
