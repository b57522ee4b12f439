import asyncio
import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from orders.engine.wallet.reconciling import Reconciled, reconcile
from routing.exchange import signer
from routing.venue import VenueUnavailable


class Command(BaseCommand):
    help = (
        "Compare the wallet's history on chain with the fills here, to the atom. It changes"
        " nothing, and exits with 1 on any difference."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--wallet", default="", help="its address; else that of the signer")

    def handle(self, *args: Any, **options: Any) -> None:
        if settings.VENUES == "simulated":
            raise CommandError("The venues are simulated: there is no wallet.")
        from routing.solana.records.record import UnreadableRecord
        from routing.solana.rpc.provider import RpcError, RpcUnavailable
        from routing.solana.wallet.key_file import UnusableKey

        try:
            address = options["wallet"] or settings.SOLANA_WALLET or str(signer().wallet)
            found = asyncio.run(reconcile(address))
        except UnusableKey as error:
            raise CommandError(f"Name the wallet with --wallet: {error}.") from None
        except (RpcUnavailable, RpcError, UnreadableRecord, VenueUnavailable) as error:
            raise CommandError(f"The chain cannot be read: {error}.") from None
        self.stdout.write("\n".join(lines_of(found)))
        if found.differences:
            sys.exit(1)


def lines_of(found: Reconciled) -> list[str]:
    """Return the report for a person."""
    start = found.lamports_held - found.lamports_moved
    return [
        f"Wallet {found.address}",
        f"  {found.compared} transactions agree with their orders to the atom",
        f"  {found.strange} were paid by others, such as deposits",
        f"  lamports: {start} before the first, {found.lamports_moved:+} by all of them,"
        f" {found.lamports_held} now",
        f"  {len(found.differences)} differences",
        *(f"    {one.signature}: {one.says}" for one in found.differences),
    ]
