"""The bytes of new mints and token accounts of the Token program."""

from solders.pubkey import Pubkey

from routing.solana.token_accounts import MINT_SIZE, TOKEN_ACCOUNT_SIZE

_SOME = b"\x01\0\0\0"


def mint(decimals: int, supply: int, authority: Pubkey | None) -> bytes:
    """Return a mint. `supply` is in atoms; without an authority no more can be made."""
    data = bytearray(MINT_SIZE)
    if authority is not None:
        data[:36] = _SOME + bytes(authority)
    data[36:44] = supply.to_bytes(8, "little")
    data[44:46] = bytes([decimals, 1])
    return bytes(data)


def token_account(mint: Pubkey, owner: Pubkey, atoms: int, rent_if_native: int | None) -> bytes:
    """Return a token account. `rent_if_native`: the lamports beside the amount of wrapped SOL."""
    data = bytearray(TOKEN_ACCOUNT_SIZE)
    data[:72] = bytes(mint) + bytes(owner) + atoms.to_bytes(8, "little")
    data[108] = 1
    if rent_if_native is not None:
        data[109:121] = _SOME + rent_if_native.to_bytes(8, "little")
    return bytes(data)
