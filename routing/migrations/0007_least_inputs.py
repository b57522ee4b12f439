"""The least inputs of a market's orders, which operators may set."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("routing", "0006_price_paths"),
    ]

    operations = [
        migrations.AddField(
            model_name="market",
            name="min_base",
            field=models.DecimalField(
                blank=True,
                decimal_places=18,
                help_text="The least input of one sale, in whole base tokens. Market orders are not"
                " held to it. Left out: what pays at least 100 of the output's smallest unit.",
                max_digits=40,
                null=True,
                verbose_name="least base amount",
            ),
        ),
        migrations.AddField(
            model_name="market",
            name="min_quote",
            field=models.DecimalField(
                blank=True,
                decimal_places=18,
                help_text="The least input of one purchase, in whole quote tokens. Market orders"
                " are not held to it. Left out: what pays at least 100 of the output's smallest"
                " unit.",
                max_digits=40,
                null=True,
                verbose_name="least quote amount",
            ),
        ),
        migrations.AddConstraint(
            model_name="market",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("min_base", None),
                        models.Q(("min_base__gt", 0), ("min_base__lt", 100000000000000000000)),
                        _connector="OR",
                    ),
                    models.Q(
                        ("min_quote", None),
                        models.Q(("min_quote__gt", 0), ("min_quote__lt", 100000000000000000000)),
                        _connector="OR",
                    ),
                ),
                name="markets_minimums_positive",
                violation_error_message="A minimum must be above zero.",
            ),
        ),
    ]
