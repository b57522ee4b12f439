"""Compares decoded accounts: `key`, `data` in base64, and what the bytes hold."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from solders.pubkey import Pubkey

from routing.pools.vector_form import UnreadableVectors
from routing.solana.cpmm import accounts as cpmm
from routing.solana.dlmm import bin_arrays, lb_pair
from routing.solana.token_accounts import read_mint, read_token_account
from routing.solana.vectors.form import (
    Comparison,
    as_bytes,
    as_integer,
    as_key,
    as_list,
    as_object,
    compared,
    differs,
)

KIND = "accounts"

Kind = TypeVar("Kind")

_READERS: list[tuple[bytes, int, Callable[[bytes], Any]]] = [
    (cpmm.POOL_DISCRIMINATOR, cpmm.POOL_SIZE, cpmm.read_pool),
    (cpmm.CONFIG_DISCRIMINATOR, cpmm.CONFIG_SIZE, cpmm.read_config),
    (cpmm.OBSERVATION_DISCRIMINATOR, cpmm.OBSERVATION_SIZE, cpmm.read_observation),
    (lb_pair.PAIR_DISCRIMINATOR, lb_pair.PAIR_SIZE, lb_pair.read_lb_pair),
    (
        bin_arrays.BIN_ARRAY_DISCRIMINATOR,
        bin_arrays.BIN_ARRAY_SIZE,
        bin_arrays.read_bin_array,
    ),
    (
        bin_arrays.BITMAP_EXTENSION_DISCRIMINATOR,
        bin_arrays.BITMAP_EXTENSION_SIZE,
        bin_arrays.read_bitmap_extension,
    ),
    (b"", 165, read_token_account),
    (b"", 82, read_mint),
]

_NAMES: dict[type, dict[str, str]] = {
    cpmm.PoolAccount: {
        "amm_config": "config",
        "pool_creator": "creator",
        "token_0_vault": "vault_0",
        "token_1_vault": "vault_1",
        "token_0_mint": "mint_0",
        "token_1_mint": "mint_1",
        "token_0_program": "token_program_0",
        "token_1_program": "token_program_1",
        "observation_key": "observation",
        "auth_bump": "authority_bump",
        "lp_dec": "lp_decimals",
        "dec0": "decimals_0",
        "dec1": "decimals_1",
        "protocol_0": "protocol_fees_0",
        "protocol_1": "protocol_fees_1",
        "fund_0": "fund_fees_0",
        "fund_1": "fund_fees_1",
        "enable_creator_fee": "pays_creator",
        "creator_0": "creator_fees_0",
        "creator_1": "creator_fees_1",
    },
    cpmm.ConfigAccount: {
        "disabled": "makes_no_pools",
        "trade": "trade_rate",
        "protocol": "protocol_rate",
        "fund": "fund_rate",
        "create_fee": "creation_fee",
        "creator": "creator_rate",
    },
    lb_pair.LbPair: {
        "vol_acc": "volatility.accumulator",
        "vol_ref": "volatility.reference",
        "index_ref": "volatility.index_reference",
        "last_update": "volatility.last_update",
        "req_bf_seed": "needs_base_factor_seed",
        "bf_seed": "base_factor_seed",
        "on_off": "creator_may_close",
        "x_mint": "mint_x",
        "y_mint": "mint_y",
        "protocol_x": "protocol_fees_x",
        "protocol_y": "protocol_fees_y",
        "x_flag": "token_flag_x",
        "y_flag": "token_flag_y",
    },
}
"""Where the file's names are not ours."""


@dataclass(frozen=True, slots=True)
class Accounts:
    """The file's accounts by their addresses, as far as they can be read."""

    read: dict[Pubkey, Any]

    def mints_of_pair(self) -> tuple[Pubkey, Pubkey]:
        """:raises UnreadableVectors: the file has not exactly one DLMM pair."""
        pair = self._only(lb_pair.LbPair)
        return pair.mint_x, pair.mint_y

    def config_of(self, pool: cpmm.PoolAccount) -> cpmm.ConfigAccount:
        """Return the pool's config, or the only one that there is.

        :raises UnreadableVectors: there is none, or several others.
        """
        found = self.read.get(pool.config)
        return found if isinstance(found, cpmm.ConfigAccount) else self._only(cpmm.ConfigAccount)

    def _only(self, kind: type[Kind]) -> Kind:
        found = [one for one in self.read.values() if isinstance(one, kind)]
        if len(found) != 1:
            raise UnreadableVectors(f"the file has {len(found)} accounts {kind.__name__}, not one")
        return found[0]


def read_accounts(entries: Any) -> Accounts:
    """Return what can be read of the accounts; `compare` tells of the others."""
    read = {}
    for entry in as_object(entries, "accounts").values():
        try:
            fields = as_object(entry, "it")
            read[as_key(fields.get("key"), "key")] = _decoded(as_bytes(fields.get("data"), "data"))
        except UnreadableVectors:
            continue
    return Accounts(read)


def compare(entries: Any) -> Iterator[Comparison]:
    for name, entry in as_object(entries, "accounts").items():
        yield compared(KIND, name, partial(_differences, entry))


def _differences(entry: Any) -> Iterator[str]:
    fields = as_object(entry, "it")
    as_key(fields.get("key"), "key")
    account = _decoded(as_bytes(fields.get("data"), "data"))
    recorded = {
        name: value for name, value in fields.items() if name not in ("key", "data", "fields")
    } | as_object(fields.get("fields", {}), "fields")
    if not recorded:
        raise UnreadableVectors("it says nothing of what its bytes hold")
    for name, value in recorded.items():
        yield from _differs(account, name, value)


def _differs(account: Any, name: str, value: Any) -> Iterator[str]:
    if isinstance(account, bin_arrays.BinArray) and name == "bins":
        yield from _bins_differ(account, value)
    elif isinstance(account, lb_pair.LbPair) and name == "bin_arrays_with_liquidity":
        yield from differs(name, bin_arrays.arrays_with_liquidity(account.bitmap), value)
    else:
        yield from differs(name, _as_recorded(_field(account, name)), _text(value))


def _bins_differ(array: bin_arrays.BinArray, rows: Any) -> Iterator[str]:
    recorded = as_list(rows, "bins")
    yield from differs("the number of bins", len(array.bins), len(recorded))
    for bin_, row in zip(array.bins, recorded, strict=False):
        values = [as_integer(value, "a bin") for value in as_list(row, "a bin")]
        if not 3 <= len(values) <= 4:
            raise UnreadableVectors("a bin is not [id, amount of x, amount of y, price]")
        yield from differs(f"bin {bin_.id}", list(bin_[: len(values)]), values)


def _decoded(data: bytes) -> Any:
    for discriminator, size, read in _READERS:
        if len(data) == size and data.startswith(discriminator):
            return read(data)
    raise UnreadableVectors(f"{len(data)} bytes that begin with {data[:8].hex()} are no known kind")


def _field(account: Any, name: str) -> Any:
    value = account
    for part in _NAMES.get(type(account), {}).get(name, name).split("."):
        if not hasattr(value, part):
            raise UnreadableVectors(f"{type(account).__name__} has no field {name}")
        value = getattr(value, part)
    return value


def _as_recorded(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_as_recorded(one) for one in value]
    return str(int(value)) if isinstance(value, int) else str(value)


def _text(value: Any) -> Any:
    if isinstance(value, list):
        return [_text(one) for one in value]
    return str(value)
