"""Reads many pools of both programs with few calls, each pool as of one slot.

A pool's accounts change together. So they are asked for in one call, with the clock, and no answer
is taken that is older than the last one.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

from solders.pubkey import Pubkey

from routing.solana.addresses import CLOCK, CPMM_PROGRAM, DLMM_PROGRAM, TOKEN_PROGRAMS
from routing.solana.cpmm import accounts as cpmm
from routing.solana.cpmm.addresses import authority
from routing.solana.cpmm.instructions import PoolAt
from routing.solana.cpmm.pools import pool_of as cpmm_pool
from routing.solana.dlmm import addresses as dlmm_addresses
from routing.solana.dlmm.bin_arrays import (
    BitmapExtension,
    array_of_bin,
    arrays_ahead,
    read_bin_array,
    read_bitmap_extension,
)
from routing.solana.dlmm.instructions import PairAt
from routing.solana.dlmm.lb_pair import LbPair, read_lb_pair
from routing.solana.dlmm.pools import pool_of as dlmm_pool
from routing.solana.layout import UnreadableAccount
from routing.solana.mints import strange_extensions, with_transfer_fees
from routing.solana.reading.progress import Progress
from routing.solana.reading.seen_pools import (
    ARRAYS_IN_A_LEG,
    SeenCpmm,
    SeenDlmm,
    SeenPool,
    UnusablePool,
)
from routing.solana.rpc.client import MOST_ACCOUNTS, RpcClient
from routing.solana.token_accounts import Clock, Mint, read_clock, read_mint, read_token_account
from routing.solana.wallet.money import AccountState

States = Mapping[Pubkey, AccountState | None]
Account = cpmm.PoolAccount | LbPair
Reading = dict[Pubkey, SeenPool | UnusablePool]

NEAR_THE_EXTENSION = 500
"""From this array on, either way, a swap may go where the pair itself has no bits."""


class _Wanted(NamedTuple):
    address: Pubkey
    account: Account
    """As it was last: it says where the other accounts stand."""
    others: tuple[Pubkey, ...]

    @property
    def accounts(self) -> tuple[Pubkey, ...]:
        return (self.address, *self.others)


class Read(NamedTuple):
    """What one reading found."""

    pools: Reading
    beside: States
    """The accounts that were asked for beside the pools."""
    clock: Clock | None
    """The oldest of its answers; None: it had none."""


class PoolReader:
    """Reads pools by their addresses. It finds out by itself which program's they are."""

    def __init__(
        self,
        client: RpcClient,
        *,
        cpmm_program: Pubkey = CPMM_PROGRAM,
        dlmm_program: Pubkey = DLMM_PROGRAM,
    ) -> None:
        self._client = client
        self._cpmm_program = cpmm_program
        self._dlmm_program = dlmm_program
        self._accounts: dict[Pubkey, Account] = {}
        self._extensions: dict[Pubkey, BitmapExtension | None] = {}
        self._progress = Progress()

    async def read(self, addresses: Collection[Pubkey]) -> Reading:
        """Return each of these pools as it is now, or why it cannot be traded in.

        The first time this takes two rounds of calls, afterwards one.

        :raises RpcUnavailable: no provider answered, or all are behind.
        """
        return (await self.read_beside(addresses)).pools

    async def read_beside(
        self, addresses: Collection[Pubkey], beside: Collection[Pubkey] = ()
    ) -> Read:
        """Return the pools, and other accounts that are asked for in the same calls.

        :raises RpcUnavailable: as `read`.
        """
        pools: Reading = {}
        unknown = [one for one in addresses if one not in self._accounts]
        if unknown:
            pools |= await self._learn(unknown)
        known = [one for one in addresses if one in self._accounts]
        others: dict[Pubkey, AccountState | None] = {}
        clocks: list[Clock] = []
        for wanted in _together(beside, (self._wanted(one) for one in known)):
            accounts = [CLOCK, *beside, *(key for one in wanted for key in one.accounts)]
            states = await self._states(accounts)
            others |= {key: states[key] for key in beside}
            clocks += self._clock(states)
            for one in wanted:
                pools[one.address] = self._seen(one, states)
            beside = ()
        return Read(pools, others, min(clocks, default=None))

    async def _learn(self, addresses: list[Pubkey]) -> Reading:
        """Read the pools' own accounts, which say where the others stand."""
        unusable: Reading = {}
        for start in range(0, len(addresses), MOST_ACCOUNTS):
            part = addresses[start : start + MOST_ACCOUNTS]
            states = await self._states(part)
            for address in part:
                try:
                    self._accounts[address] = self._account(address, states)
                except UnreadableAccount as error:
                    unusable[address] = UnusablePool(address, str(error))
        return unusable

    async def _states(self, addresses: Iterable[Pubkey]) -> States:
        asked = list(dict.fromkeys(addresses))
        found = await self._client.accounts(asked, self._progress.least_slot())
        self._progress.note(found.slot)
        return dict(zip(asked, found.states, strict=True))

    def _clock(self, states: States) -> Iterator[Clock]:
        try:
            yield read_clock(_there(CLOCK, states, "clock").data)
        except UnreadableAccount:
            return  # each pool tells of it

    def _account(self, address: Pubkey, states: States) -> Account:
        state = _there(address, states, "pool")
        if state.owner == self._cpmm_program:
            return cpmm.read_pool(state.data)
        if state.owner == self._dlmm_program:
            return read_lb_pair(state.data)
        raise UnreadableAccount(f"it belongs to {state.owner}, which is neither program")

    def _wanted(self, address: Pubkey) -> _Wanted:
        account = self._accounts[address]
        if isinstance(account, LbPair):
            return _Wanted(address, account, tuple(self._of_pair(address, account)))
        mints = account.mint_0, account.mint_1
        return _Wanted(address, account, (account.config, account.vault_0, account.vault_1, *mints))

    def _of_pair(self, address: Pubkey, pair: LbPair) -> Iterator[Pubkey]:
        """Yield mints, vaults, the arrays around the price, the extension where it may matter."""
        yield from (pair.mint_x, pair.mint_y, pair.reserve_x, pair.reserve_y)
        if abs(array_of_bin(pair.active_id)) >= NEAR_THE_EXTENSION:
            yield dlmm_addresses.bitmap_extension(address, self._dlmm_program)
        for index in _arrays_around(pair, self._extensions.get(address)):
            yield self._array(address, index)

    def _seen(self, wanted: _Wanted, states: States) -> SeenPool | UnusablePool:
        try:
            account = self._account(wanted.address, states)
            self._accounts[wanted.address] = account
            clock = read_clock(_there(CLOCK, states, "clock").data)
            if isinstance(account, LbPair):
                return self._dlmm(wanted, account, states, clock)
            return self._cpmm(wanted, account, states, clock)
        except UnreadableAccount as error:
            return UnusablePool(wanted.address, str(error))

    def _cpmm(
        self, wanted: _Wanted, account: cpmm.PoolAccount, states: States, clock: Clock
    ) -> SeenCpmm:
        config = _there(account.config, states, "config")
        if config.owner != self._cpmm_program:
            raise UnreadableAccount("its config belongs to another program")
        owner = authority(self._cpmm_program)
        pool = cpmm_pool(
            account,
            cpmm.read_config(config.data),
            vault_0=_held(account.vault_0, account.mint_0, owner, states),
            vault_1=_held(account.vault_1, account.mint_1, owner, states),
            now=clock.unix_time,
        )
        mint_0, mint_1 = _mint(account.mint_0, states), _mint(account.mint_1, states)
        return SeenCpmm(
            address=wanted.address,
            mint_x=account.mint_0,
            mint_y=account.mint_1,
            pool=with_transfer_fees(pool, mint_0, mint_1, clock.epoch),
            clock=clock,
            at=PoolAt(wanted.address, account),
            program=self._cpmm_program,
        )

    def _dlmm(self, wanted: _Wanted, pair: LbPair, states: States, clock: Clock) -> SeenDlmm:
        place = dlmm_addresses.bitmap_extension(wanted.address, self._dlmm_program)
        state = self._own(place, states)
        extension = read_bitmap_extension(state.data) if state else None
        self._extensions[wanted.address] = extension  # the next reading asks for its arrays
        arrays = [
            read_bin_array(found.data)
            for index in _arrays_around(pair, extension)
            if (found := self._own(self._array(wanted.address, index), states)) is not None
        ]
        pool = dlmm_pool(pair, arrays, extension, slot=clock.slot, now=clock.unix_time)
        mint_x, mint_y = _mint(pair.mint_x, states), _mint(pair.mint_y, states)
        return SeenDlmm(
            address=wanted.address,
            mint_x=pair.mint_x,
            mint_y=pair.mint_y,
            pool=with_transfer_fees(pool, mint_x, mint_y, clock.epoch),
            clock=clock,
            at=PairAt(wanted.address, pair),
            extension=extension,
            reserves=(
                _held(pair.reserve_x, pair.mint_x, wanted.address, states),
                _held(pair.reserve_y, pair.mint_y, wanted.address, states),
            ),
            program=self._dlmm_program,
        )

    def _array(self, pair: Pubkey, index: int) -> Pubkey:
        return dlmm_addresses.bin_array(pair, index, self._dlmm_program)

    def _own(self, address: Pubkey, states: States) -> AccountState | None:
        """Return an account of the DLMM program that may not exist, or was not asked for."""
        state = states.get(address)
        return state if state is not None and state.owner == self._dlmm_program else None


def _arrays_around(pair: LbPair, extension: BitmapExtension | None) -> list[int]:
    """Return the indexes of the arrays that swaps either way would name."""
    down, up = (
        arrays_ahead(pair.active_id, pair.bitmap, extension, to_y=to_y, count=ARRAYS_IN_A_LEG)
        for to_y in (True, False)
    )
    return sorted({*down, *up})


def _together(beside: Collection[Pubkey], all_wanted: Iterable[_Wanted]) -> Iterator[list[_Wanted]]:
    """Divide the pools into calls, none of which asks for more accounts than one may.

    The first asks for the accounts beside, too, even without a pool.
    """
    group: list[_Wanted] = []
    accounts = {CLOCK, *beside}
    for one in all_wanted:
        if group and len(accounts.union(one.accounts)) > MOST_ACCOUNTS:
            yield group
            group, accounts = [], {CLOCK}
        group.append(one)
        accounts.update(one.accounts)
    if group or beside:
        yield group


def _there(address: Pubkey, states: States, name: str) -> AccountState:
    state = states.get(address)
    if state is None:
        raise UnreadableAccount(f"its {name} {address} does not exist")
    return state


def _held(vault: Pubkey, mint: Pubkey, owner: Pubkey, states: States) -> int:
    state = _there(vault, states, "vault")
    if state.owner not in TOKEN_PROGRAMS:
        raise UnreadableAccount(f"its vault {vault} is no token account")
    held = read_token_account(state.data)
    if held.mint != mint or held.owner != owner:
        raise UnreadableAccount(f"its vault {vault} is of another mint or owner")
    return held.amount


def _mint(address: Pubkey, states: States) -> Mint:
    state = _there(address, states, "mint")
    if state.owner not in TOKEN_PROGRAMS:
        raise UnreadableAccount(f"its mint {address} is no mint")
    mint = read_mint(state.data)
    if strange := strange_extensions(mint):
        raise UnreadableAccount(f"its mint {address} has extensions {sorted(strange)}")
    return mint
