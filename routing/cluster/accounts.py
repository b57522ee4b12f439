"""The accounts, as LiteSVM holds them now and as they were after each of the latest slots."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

from solders.account import Account
from solders.litesvm import LiteSVM
from solders.pubkey import Pubkey

KEPT_SLOTS = 64
"""For so many slots the cluster can tell what accounts were, and take a slot back."""

NOTHING = Account(0, b"", Pubkey.default())


class Accounts:
    """An account without lamports does not exist: it is read as None, and written as None."""

    def __init__(self, svm: LiteSVM) -> None:
        self._svm = svm
        self._before: dict[int, dict[Pubkey, Account | None]] = {}

    def get(self, address: Pubkey) -> Account | None:
        account = self._svm.get_account(address)
        return account if account is not None and account.lamports else None

    def existing(self, address: Pubkey) -> Account:
        """:raises LookupError: there is no such account."""
        account = self.get(address)
        if account is None:
            raise LookupError(str(address))
        return account

    def put(self, address: Pubkey, account: Account | None) -> None:
        self._svm.set_account(address, account or NOTHING)

    def at(self, address: Pubkey, slot: int) -> Account | None:
        """Return the account as it was at the end of `slot`, or of the earliest slot known."""
        for number, before in self._before.items():
            if number > slot and address in before:
                return before[address]
        return self.get(address)

    def owned_by(self, program: Pubkey, slot: int) -> Iterator[tuple[Pubkey, Account]]:
        """Yield the accounts that `program` owned at the end of `slot`."""
        later = [before for number, before in self._before.items() if number > slot]
        moved = {address for before in later for address in before}
        addresses = [address for address, _ in self._svm.get_program_accounts(program)]
        for address in dict.fromkeys([*addresses, *moved]):
            account = self.at(address, slot)
            if account is not None and account.owner == program:
                yield address, account

    def begin(self, slot: int) -> None:
        """Begin a slot: what is changed from now on can be taken back with it."""
        self._before[slot] = {}
        for number in [number for number in self._before if number <= slot - KEPT_SLOTS]:
            del self._before[number]

    def keep(self, slot: int, addresses: Iterable[Pubkey]) -> None:
        """Remember what these are before `slot` changes them for the first time."""
        before = self._before[slot]
        for address in addresses:
            if address not in before:
                before[address] = self.get(address)

    def changed(self, slot: int) -> Mapping[Pubkey, Account | None]:
        """Return the accounts that `slot`, the latest one, may have changed, as they are now."""
        return {address: self.get(address) for address in self._before[slot]}

    def undo(self, slot: int) -> Mapping[Pubkey, Account | None]:
        """Take the latest slot back, and return the accounts as they are again."""
        before = self._before.pop(slot)
        for address, account in before.items():
            self.put(address, account)
        return before

    @contextmanager
    def trial(self, addresses: Iterable[Pubkey]) -> Iterator[None]:
        """Take back at the end what is done to these accounts meanwhile."""
        with self.all_or_nothing(addresses) as undo:
            yield
            undo()

    @contextmanager
    def all_or_nothing(self, addresses: Iterable[Pubkey]) -> Iterator[Callable[[], None]]:
        """Take back what is done to these accounts if that ends in an exception.

        Yield a function that takes it back, too.
        """
        before = {address: self.get(address) for address in addresses}

        def undo() -> None:
            for address, account in before.items():
                self.put(address, account)

        try:
            yield undo
        except BaseException:
            undo()
            raise
