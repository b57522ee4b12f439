"""What an attack leaves behind: a line for each event, by a name that stays."""

import logging
from typing import Any

logger = logging.getLogger("engine.security")


def tell(
    event: str,
    request_or_scope: Any = None,
    *,
    account: int | None = None,
    key_prefix: str | None = None,
    **facts: Any,
) -> None:
    """Write one event, with the address it came from. No fact is ever a secret."""
    meta = getattr(request_or_scope, "META", {})
    told = {"address": meta.get("REMOTE_ADDR"), "account": account, "key_prefix": key_prefix}
    words = " ".join(f"{name}={value!r}" for name, value in {**told, **facts}.items() if value)
    logger.warning("%s %s", event, words)
