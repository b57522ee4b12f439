"""Whether this process may sign at all. It is asked once, before a worker takes an order."""

import asyncio
import logging

from django.conf import settings

from config.environment.first_cause import CannotStart
from config.runtime.sentences import end_with
from routing.exchange import signer

NEVER_RUN = (
    "This engine was never run against mainnet or devnet: begin with limits that you can lose"
    " (docs/live.md)."
)

logger = logging.getLogger(__name__)


def refuse_unfit_wallet() -> None:
    """End this process with a sentence if its wallet or its network can never be used.

    :raises SystemExit: the key cannot be used, or the network is not allowed as things are set.
    """
    if settings.VENUES == "simulated":
        return
    try:
        asyncio.run(check_wallet())
    except CannotStart as error:
        end_with([str(error)])
    if settings.SOLANA_LIVE:
        logger.warning(NEVER_RUN)


async def check_wallet() -> str:
    """Return the wallet's address.

    Providers that do not answer now are no reason to end: the wallet asks them before it signs.

    :raises CannotStart: it can never be used as things are set.
    """
    from routing.solana.networks import ForbiddenNetwork, NetworkCheck, NetworkUnknown
    from routing.solana.rpc.provider import Provider
    from routing.solana.wallet.key_file import UnusableKey
    from routing.solana.wallet.remote import UnusableSigner

    if not settings.SOLANA_RPC_URLS:
        raise CannotStart("SOLANA_RPC_URLS is not set, and VENUES is solana.")
    try:
        opened = signer()
    except UnusableKey as error:
        raise CannotStart(f"SOLANA_KEY_FILE: {error}.") from None
    except UnusableSigner as error:
        raise CannotStart(f"SOLANA_SIGNER_URL: {error}.") from None
    providers = [Provider(url) for url in settings.SOLANA_RPC_URLS]
    try:
        await NetworkCheck(providers, is_live=settings.SOLANA_LIVE).check()
    except ForbiddenNetwork as error:
        raise CannotStart(f"SOLANA_RPC_URLS: {error}.") from None
    except NetworkUnknown as error:
        logger.warning("%s: nothing is signed before that", error)
    finally:
        for provider in providers:
            await provider.close()
        await opened.close()
    return str(opened.wallet)
