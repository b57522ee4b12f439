from django.db import migrations


class Migration(migrations.Migration):
    """Nobody looks for the beginning of a signature, and a second index slows every send."""

    dependencies = [("routing", "0001_initial")]

    operations = [
        migrations.RunSQL(
            "DROP INDEX simulated_network_transactions_signature_55f68587_like",
            "CREATE INDEX simulated_network_transactions_signature_55f68587_like "
            "ON simulated_network_transactions (signature text_pattern_ops)",
        ),
    ]
