"""What an order asks of its route: price impact, venues. Null in nearly all orders."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("orders", "0005_accounts")]
    operations = [
        migrations.AddField(
            model_name="order",
            name="constraints",
            field=models.JSONField(blank=True, null=True),
        ),
    ]
