"""Mints and token accounts, of the Token program and of Token-2022; the cluster's clock."""

from dataclasses import dataclass
from typing import NamedTuple

from solders.pubkey import Pubkey

from routing.solana.layout import Layout, UnreadableAccount

TOKEN_ACCOUNT_SIZE = 165
MINT_SIZE = 82
CLOCK_SIZE = 40

_TYPE_PLACE = 165
_EXTENSIONS_PLACE = 166
_IS_MINT, _IS_ACCOUNT = 1, 2
_NO_EXTENSION = 0
_TRANSFER_FEE_CONFIG = 1
_TRANSFER_FEE_CONFIG_SIZE = 108


@dataclass(frozen=True, slots=True)
class TokenAccount:
    """What one owner holds of one mint, in atoms."""

    mint: Pubkey
    owner: Pubkey
    amount: int
    is_initialized: bool
    is_frozen: bool
    rent_if_native: int | None
    """Lamports beside the amount, if the account wraps SOL; else None."""
    can_be_taken: bool = False
    """Whether somebody else may spend from it or close it."""


class TransferFee(NamedTuple):
    """What a Token-2022 mint takes of each transfer from an epoch on; `most` in atoms."""

    epoch: int
    most: int
    bps: int


@dataclass(frozen=True, slots=True)
class Mint:
    supply: int
    decimals: int
    is_initialized: bool
    extensions: tuple[int, ...] = ()
    """The numbers of its Token-2022 extensions, in their order."""
    fees: tuple[TransferFee, TransferFee] | None = None
    """The older transfer fee and the newer, if the mint has the extension."""

    def transfer_fee_at(self, epoch: int) -> TransferFee | None:
        """Return the transfer fee in force; None if transfers cost nothing."""
        if self.fees is None:
            return None
        older, newer = self.fees
        fee = newer if epoch >= newer.epoch else older
        return fee if fee.bps and fee.most else None


class Clock(NamedTuple):
    """The Clock sysvar. `unix_time` is in seconds."""

    slot: int
    epoch: int
    unix_time: int


def read_token_account(data: bytes) -> TokenAccount:
    """:raises UnreadableAccount: the bytes are no token account."""
    layout = Layout(data, "a token account", TOKEN_ACCOUNT_SIZE)
    if len(data) > TOKEN_ACCOUNT_SIZE and data[_TYPE_PLACE] != _IS_ACCOUNT:
        raise UnreadableAccount("the account is no token account, by its type")
    state = layout.u8(108)
    if state > 2:
        raise UnreadableAccount(f"a token account has no state {state}")
    return TokenAccount(
        mint=layout.key(0),
        owner=layout.key(32),
        amount=layout.u64(64),
        is_initialized=state != 0,
        is_frozen=state == 2,
        rent_if_native=layout.u64(113) if layout.u32(109) else None,
        can_be_taken=_names_another(layout, 72) or _names_another(layout, 129),
    )


def read_mint(data: bytes) -> Mint:
    """:raises UnreadableAccount: the bytes are no mint."""
    layout = Layout(data, "a mint", MINT_SIZE)
    if len(data) > MINT_SIZE:
        if len(data) <= _TYPE_PLACE or data[_TYPE_PLACE] != _IS_MINT:
            raise UnreadableAccount("the account is no mint, by its size and type")
        extensions = _extensions(data)
    else:
        extensions = {}
    return Mint(
        supply=layout.u64(36),
        decimals=layout.u8(44),
        is_initialized=layout.u8(45) == 1,
        extensions=tuple(extensions),
        fees=_transfer_fees(extensions),
    )


def read_clock(data: bytes) -> Clock:
    """:raises UnreadableAccount: the bytes are no clock."""
    layout = Layout(data, "the clock", CLOCK_SIZE)
    return Clock(layout.u64(0), layout.u64(16), layout.i64(32))


def _names_another(layout: Layout, place: int) -> bool:
    """Whether an optional address of a token account is there and not the owner's own."""
    return layout.u32(place) == 1 and layout.key(place + 4) != layout.key(32)


def _extensions(data: bytes) -> dict[int, bytes]:
    """Return the bytes of each extension by its number.

    :raises UnreadableAccount: an entry is longer than the account.
    """
    found: dict[int, bytes] = {}
    place = _EXTENSIONS_PLACE
    while place + 4 <= len(data):
        number = int.from_bytes(data[place : place + 2], "little")
        size = int.from_bytes(data[place + 2 : place + 4], "little")
        if number == _NO_EXTENSION:
            break
        place += 4
        if place + size > len(data):
            raise UnreadableAccount(f"extension {number} is longer than its mint")
        found[number] = data[place : place + size]
        place += size
    return found


def _transfer_fees(extensions: dict[int, bytes]) -> tuple[TransferFee, TransferFee] | None:
    data = extensions.get(_TRANSFER_FEE_CONFIG)
    if data is None:
        return None
    layout = Layout(data, "a transfer fee", _TRANSFER_FEE_CONFIG_SIZE)
    older, newer = (
        TransferFee(layout.u64(place), layout.u64(place + 8), layout.u16(place + 16))
        for place in (72, 90)
    )
    return older, newer
