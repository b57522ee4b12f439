"""What the engine did in each minute, and who has seen the orders that need a person."""

import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("orders", "0024_execution_quality")]

    operations = [
        migrations.CreateModel(
            name="EngineMinute",
            fields=[
                ("minute", models.BigIntegerField(primary_key=True, serialize=False)),
                ("figures", models.JSONField()),
                ("totals", models.JSONField(blank=True, null=True)),
            ],
            options={"db_table": "engine_minutes"},
        ),
        migrations.CreateModel(
            name="SeenOrder",
            fields=[
                ("order_id", models.UUIDField(primary_key=True, serialize=False)),
                ("seen_by", models.CharField(max_length=150)),
                ("at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={"db_table": "seen_orders"},
        ),
    ]
