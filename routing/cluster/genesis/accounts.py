"""All accounts of a new cluster, as they are before the first slot."""

import hashlib
from collections.abc import Callable, Iterator
from math import isqrt
from typing import NamedTuple

from solders.account import Account
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from routing.cluster.genesis import pool_bytes, token_bytes
from routing.cluster.genesis.pool_bytes import LP_DECIMALS
from routing.pools.constant_product import FeeRates
from routing.simulation.pool import Price
from routing.simulation.seeding import STEP_20, depth_in_atoms, dollar_price, liquidity_bins
from routing.solana.addresses import (
    CPMM_PROGRAM,
    DLMM_PROGRAM,
    TOKEN_PROGRAM,
    WRAPPED_SOL,
    associated_token_account,
)
from routing.solana.cpmm import addresses as cpmm
from routing.solana.dlmm import addresses as dlmm
from routing.tokens import MARKETS, TOKENS, Market, Token

RATES = FeeRates(trade=2_500, protocol=120_000, fund=40_000)
"""Those of the CPMM's first config: a fee of 0.25 %."""
CONFIG_INDEX, PRESET_INDEX = 0, 3
BINS_EACH_WAY = 100
LAST_BIN = 17_581
"""The outermost bin of pairs whose bins are 0.2 % apart."""

WALLET_DOLLARS = 1_000_000
"""What the throw-away wallet has of each token, by the markets' reference prices."""
WALLET_LAMPORTS = 10_000 * 10**9
BANK_LAMPORTS = 10_000_000 * 10**9
MOST_ATOMS = 2**60

Fund = tuple[Pubkey, Account]
RentFor = Callable[[int], int]


class Keys(NamedTuple):
    """The wallets of the cluster, which follow from its seed."""

    wallet: Keypair
    """For the engine: it has money, and its key is as secret as the seed."""
    bank: Keypair
    """It may make tokens, and pays for airdrops."""
    trader: Keypair
    """It moves the prices."""

    @classmethod
    def of(cls, seed: str) -> "Keys":
        return cls(*(_keypair(f"{seed}:{name}") for name in cls._fields))


class Pools(NamedTuple):
    """A market's two pools."""

    market: Market
    cpmm: Pubkey
    pair: Pubkey


def pools() -> list[Pools]:
    """Return the markets that a new cluster trades, and where their pools stand."""
    return [Pools(market, _cpmm_address(market), _pair_address(market)) for market in MARKETS]


def accounts(
    keys: Keys, rent_for: RentFor, price_of: Callable[[Market], Price], now: int, dollars: int
) -> Iterator[tuple[Pubkey, Account]]:
    """Yield all accounts. `dollars`: what each side of each pool is worth, about."""
    made = _Genesis(keys, rent_for, now)
    for market in MARKETS:
        price = price_of(market)
        depth = depth_in_atoms(market, MARKETS, price, dollars)
        yield from made.cpmm_pool(market, depth)
        yield from made.dlmm_pair(market, depth)
    yield from made.config()
    yield from made.wallets(dollars)
    yield from made.mints()


def _keypair(seed: str) -> Keypair:
    return Keypair.from_seed(hashlib.sha256(seed.encode()).digest())


def mint_of(token: Token) -> Pubkey:
    return Pubkey.from_string(token.mint)


def _cpmm_address(market: Market) -> Pubkey:
    config = cpmm.config(CONFIG_INDEX)
    return cpmm.pool(config, *sorted((mint_of(market.base), mint_of(market.quote)), key=bytes))


def _pair_address(market: Market) -> Pubkey:
    preset = dlmm.preset(PRESET_INDEX)
    return dlmm.lb_pair(preset, mint_of(market.base), mint_of(market.quote))


class _Genesis:
    def __init__(self, keys: Keys, rent_for: RentFor, now: int) -> None:
        self._keys = keys
        self._rent_for = rent_for
        self._now = now
        self._supply: dict[Pubkey, int] = {}

    def config(self) -> Iterator[Fund]:
        address, bump = Pubkey.find_program_address(
            [b"amm_config", CONFIG_INDEX.to_bytes(2, "big")], CPMM_PROGRAM
        )
        data = pool_bytes.cpmm_config(bump, CONFIG_INDEX, RATES, self._keys.bank.pubkey())
        yield address, self._account(data, CPMM_PROGRAM)

    def cpmm_pool(self, market: Market, depth: tuple[int, int]) -> Iterator[Fund]:
        sides = sorted(zip((market.base, market.quote), depth, strict=True), key=_mint_bytes)
        (token_0, atoms_0), (token_1, atoms_1) = sides
        mint_0, mint_1 = mint_of(token_0), mint_of(token_1)
        pool = _cpmm_address(market)
        authority, bump = Pubkey.find_program_address(
            [b"vault_and_lp_mint_auth_seed"], CPMM_PROGRAM
        )
        vaults = cpmm.vault(pool, mint_0), cpmm.vault(pool, mint_1)
        lp_mint, observation = cpmm.lp_mint(pool), cpmm.observation(pool)
        lp_supply = isqrt(atoms_0 * atoms_1)
        creator, programs = self._keys.bank.pubkey(), (TOKEN_PROGRAM, TOKEN_PROGRAM)
        data = pool_bytes.cpmm_pool(
            (cpmm.config(CONFIG_INDEX), creator, *vaults, lp_mint, mint_0, mint_1, *programs),
            observation,
            bump,
            (token_0.decimals, token_1.decimals),
            lp_supply,
            self._now,
        )
        yield pool, self._account(data, CPMM_PROGRAM)
        yield observation, self._account(pool_bytes.cpmm_observation(pool), CPMM_PROGRAM)
        yield lp_mint, self._account(token_bytes.mint(LP_DECIMALS, lp_supply, authority))
        yield vaults[0], self._tokens(mint_0, authority, atoms_0)
        yield vaults[1], self._tokens(mint_1, authority, atoms_1)

    def dlmm_pair(self, market: Market, depth: tuple[int, int]) -> Iterator[Fund]:
        pool = liquidity_bins(STEP_20, BINS_EACH_WAY)(*depth)
        mint_x, mint_y = mint_of(market.base), mint_of(market.quote)
        low, high = sorted((bytes(mint_x), bytes(mint_y)))
        preset = dlmm.preset(PRESET_INDEX)
        pair, bump = Pubkey.find_program_address([bytes(preset), low, high], DLMM_PROGRAM)
        reserves = dlmm.reserve(pair, mint_x), dlmm.reserve(pair, mint_y)
        data = pool_bytes.lb_pair(
            pool,
            (mint_x, mint_y),
            reserves,
            dlmm.oracle(pair),
            preset,
            self._keys.bank.pubkey(),
            bump,
            LAST_BIN,
        )
        yield pair, self._account(data, DLMM_PROGRAM)
        yield dlmm.oracle(pair), self._account(pool_bytes.dlmm_oracle(), DLMM_PROGRAM)
        for index, array in pool_bytes.bin_arrays(pool, pair):
            yield dlmm.bin_array(pair, index), self._account(array, DLMM_PROGRAM)
        yield reserves[0], self._tokens(mint_x, pair, pool.vault_x)
        yield reserves[1], self._tokens(mint_y, pair, pool.vault_y)

    def wallets(self, dollars: int) -> Iterator[Fund]:
        """Yield the wallets and what they hold: the trader much more than a pool."""
        bank, wallet, trader = (
            one.pubkey() for one in (self._keys.bank, self._keys.wallet, self._keys.trader)
        )
        yield bank, Account(BANK_LAMPORTS, b"", Pubkey.default())
        yield wallet, Account(WALLET_LAMPORTS, b"", Pubkey.default())
        yield trader, Account(WALLET_LAMPORTS, b"", Pubkey.default())
        for token in {token.mint: token for token in reversed(TOKENS)}.values():
            mint = mint_of(token)
            for owner, worth in ((wallet, WALLET_DOLLARS), (trader, dollars * 100)):
                atoms = _atoms_worth(token, worth)
                yield associated_token_account(owner, mint), self._tokens(mint, owner, atoms)

    def mints(self) -> Iterator[Fund]:
        """Yield the mints of all tokens that were given out."""
        for token in {token.mint: token for token in TOKENS}.values():
            mint = mint_of(token)
            if mint == WRAPPED_SOL:  # its supply counts nothing, and it is wrapped and not made
                data = token_bytes.mint(token.decimals, 0, None)
            else:
                supply = self._supply[mint]
                data = token_bytes.mint(token.decimals, supply, self._keys.bank.pubkey())
            yield mint, self._account(data)

    def _account(self, data: bytes, owner: Pubkey = TOKEN_PROGRAM) -> Account:
        return Account(self._rent_for(len(data)), data, owner)

    def _tokens(self, mint: Pubkey, owner: Pubkey, atoms: int) -> Account:
        self._supply[mint] = self._supply.get(mint, 0) + atoms
        rent = self._rent_for(165)
        native = mint == WRAPPED_SOL
        data = token_bytes.token_account(mint, owner, atoms, rent if native else None)
        return Account(rent + atoms * native, data, TOKEN_PROGRAM)


def _mint_bytes(side: tuple[Token, int]) -> bytes:
    return bytes(mint_of(side[0]))


def _atoms_worth(token: Token, dollars: int) -> int:
    """Return how many atoms are worth so many dollars, by the markets' reference prices."""
    atoms = dollars / dollar_price(token, MARKETS) * 10**token.decimals
    return min(int(atoms), MOST_ATOMS)
