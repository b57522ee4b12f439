"""A second factor's codes: six digits that change with time (RFC 6238), and recovery codes."""

import hashlib
import secrets
import time
from base64 import b32decode, b32encode
from urllib.parse import quote

from django_otp.oath import TOTP

ISSUER = "Order execution engine"
STEP_SECONDS = 30
DIGITS = 6
TOLERANCE = 1  # steps before and after now: clocks differ, and people are slow
SEED_BYTES = 20  # RFC 4226 asks for so many
RECOVERY_CODES = 10
RECOVERY_BYTES = 10  # 80 random bits: no dictionary has them, so a plain digest is enough

Step = int
"""A number of half minutes since 1970."""


def new_seed() -> str:
    return b32encode(secrets.token_bytes(SEED_BYTES)).decode()


def new_recovery_codes() -> list[str]:
    """Return codes such as `ABCD-EFGH-IJKL-MNOP`."""
    texts = (b32encode(secrets.token_bytes(RECOVERY_BYTES)).decode() for _ in range(RECOVERY_CODES))
    return ["-".join(text[place : place + 4] for place in range(0, 16, 4)) for text in texts]


def digest_of_code(code: str) -> str:
    """Return what is stored of a recovery code, in whatever form it was typed."""
    return hashlib.sha256("".join(code.upper().replace("-", "").split()).encode()).hexdigest()


def step_of(seed: str, token: str, after: Step = -1) -> Step | None:
    """Return the step of a code of six digits; None if it is no code of about now.

    Steps up to `after` do not count any more.
    """
    digits = "".join(token.split())
    if not (len(digits) == DIGITS and digits.isascii() and digits.isdigit()):
        return None
    codes = TOTP(b32decode(seed), step=STEP_SECONDS, digits=DIGITS)
    codes.time = time.time()
    return codes.t() if codes.verify(int(digits), TOLERANCE, after + 1) else None


def address_for_app(seed: str, name: str) -> str:
    """Return the text of the QR code, which authenticator apps read."""
    label = quote(f"{ISSUER}:{name}")
    return f"otpauth://totp/{label}?secret={seed}&issuer={quote(ISSUER)}"
