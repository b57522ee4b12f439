"""Find real pools on chain: `manage.py find_pools SOL/USDC --store`."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from routing.management.commands.launch_pool import pair
from routing.models import LivePool, Market

MOST = 3


class Command(BaseCommand):
    help = "Find the real pools of markets on chain; with --store, trade in the deepest of them."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("markets", type=pair, nargs="*", help="such as SOL/USDC; none: all")
        parser.add_argument("--store", action="store_true", help="add those that are not known")
        parser.add_argument(
            "--most",
            type=int,
            choices=range(1, 21),
            default=MOST,
            metavar="N",
            help=f"so many of each venue and market ({MOST})",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """:raises CommandError: real pools are not traded in here, or no node answers."""
        if settings.VENUES != "solana":
            raise CommandError("There are no real pools with VENUES=simulated.")
        # Only now: the simulated engine imports nothing of Solana.
        from routing.operations import live_pools

        try:
            for market in self._markets(options["markets"]):
                found = live_pools.find_pools(settings.SOLANA_RPC_URLS, market)
                added = []
                if options["store"]:
                    added = live_pools.store_found(market, found, "find_pools", options["most"])
                self._show(market, found, {row.address for row in added})
        except live_pools.NoNode as fault:
            raise CommandError(str(fault)) from fault

    def _markets(self, pairs: list[tuple[str, str]]) -> list[Market]:
        if not pairs:
            return list(Market.objects.all())
        found = []
        for base, quote in pairs:
            market = Market.objects.filter(base__symbol=base, quote__symbol=quote).first()
            if market is None:
                raise CommandError(f"{base}/{quote} is no market here.")
            found.append(market)
        return found

    def _show(self, market: Market, found: list[Any], added: set[str]) -> None:
        known = dict(LivePool.objects.filter(market=market).values_list("address", "is_traded"))
        if not found:
            self.stdout.write(f"{market}: no open pool.")
        for one in found:
            address = one.pool.address
            state = "added" if address in added else _state(known.get(address))
            price = f"{float(one.price):.8g}"
            self.stdout.write(f"{one.pool.venue:8} {market!s:10} {address:44} {price:>14} {state}")


def _state(is_traded: bool | None) -> str:
    return "new" if is_traded is None else "traded in" if is_traded else "switched off"
