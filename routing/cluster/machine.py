"""Executes one transaction at a time in LiteSVM, with the real system and token programs.

A swap is executed by the program that the user gave, or else it is emulated: our mathematics say
what it moves, and the real token program moves it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from solders.account import Account
from solders.clock import Clock
from solders.hash import Hash
from solders.litesvm import LiteSVM
from solders.pubkey import Pubkey
from solders.rent import Rent
from solders.transaction import VersionedTransaction

from routing.cluster.accounts import Accounts
from routing.cluster.emulation import (
    Plan,
    Refusal,
    plan_of,
    rewritten,
)
from routing.cluster.execution import Execution, execution_of
from routing.cluster.messages import (
    Loaded,
    NotLoaded,
    compute_limit,
    fee_of,
    load,
)
from routing.cluster.programs.program import ACCOUNT_NOT_INITIALIZED, Refused, SwapProgram
from routing.cluster.retold import as_sent, out_of_units, refused
from routing.solana.addresses import CLOCK
from routing.solana.programs.compute_budget import LAMPORTS_PER_SIGNATURE
from routing.solana.token_accounts import read_clock

RENT = Rent(lamports_per_byte=5_080)
"""Mainnet's since SIMD-0437, in place of LiteSVM's 6,960."""

SLOTS_IN_AN_EPOCH = 432_000


class Machine:
    """LiteSVM, and the swaps that are emulated in it. `swaps` are those programs, by address."""

    def __init__(self, swaps: Mapping[Pubkey, SwapProgram]) -> None:
        self._svm = (
            LiteSVM().with_sigverify(False).with_blockhash_check(False).with_transaction_history(0)
        )
        self._svm.set_rent(RENT)
        self._swaps = dict(swaps)
        self.accounts = Accounts(self._svm)

    def install(self, program: Pubkey, binary: Path) -> None:
        """Have a real program execute its instructions, in place of an emulation."""
        self._svm.add_program_from_file(program, binary)
        self._swaps.pop(program, None)

    def is_emulated(self, program: Pubkey) -> bool:
        return program in self._swaps

    def rent_for(self, size: int) -> int:
        """Return the lamports with which an account of so many bytes may stay."""
        return self._svm.minimum_balance_for_rent_exemption(size)

    def set_clock(self, slot: int, now: int) -> None:
        epoch = slot // SLOTS_IN_AN_EPOCH
        self._svm.set_clock(Clock(slot, 0, epoch, epoch + 1, now))

    def set_slot_hashes(self, hashes: Sequence[tuple[int, str]]) -> None:
        """Tell the programs of the latest blocks, the newest first: slots and blockhashes."""
        self._svm.set_slot_hashes([(slot, Hash.from_string(text)) for slot, text in hashes])

    def load(self, transaction: VersionedTransaction) -> Loaded:
        """:raises NotLoaded: an address table is missing, is none, or is too short."""
        return load(transaction.message, self.accounts.get)

    def try_out(
        self, transaction: VersionedTransaction
    ) -> tuple[Execution, dict[Pubkey, Account | None]]:
        """Return what the transaction would do, and its accounts afterwards. Nothing changes."""
        try:
            loaded = self.load(transaction)
        except NotLoaded as error:
            return Execution(error.code), {}
        with self.accounts.trial(loaded.writable_keys):
            execution = self.execute(transaction, loaded)
            after = {address: self.accounts.get(address) for address in loaded.keys}
        return execution, after

    def execute(self, transaction: VersionedTransaction, loaded: Loaded) -> Execution:
        """Execute the transaction, whose signatures and blockhash were checked before."""
        if any(one.program_id in self._swaps for one in loaded.instructions):
            return self._emulate(loaded)
        return self._send(loaded, transaction)

    def _send(self, loaded: Loaded, transaction: VersionedTransaction) -> Execution:
        before = self.accounts.get(loaded.payer)
        execution = execution_of(self._svm.send_transaction(transaction))
        if execution.error is not None and self.accounts.get(loaded.payer) == before:
            return execution._replace(fee=0)
        return execution

    def _emulate(self, loaded: Loaded) -> Execution:
        clock = read_clock(self.accounts.existing(CLOCK).data)
        plan = plan_of(loaded, self._swaps, self.accounts.get, clock)
        with self.accounts.all_or_nothing(loaded.writable_keys) as undo:
            execution = self._execute_plan(loaded, plan)
            if execution.error is not None:
                undo()
        if execution.error is not None and execution.entered:
            self._charge(loaded)
        return execution

    def _execute_plan(self, loaded: Loaded, plan: Plan) -> Execution:
        """Execute it. If it fails, what it has changed is for the caller to take back."""
        fee = fee_of(loaded)
        payer = self.accounts.get(loaded.payer)
        if payer is None:
            return Execution("AccountNotFound")
        if payer.lamports < fee:
            return Execution("InsufficientFundsForFee")
        transaction = rewritten(loaded, plan)
        # LiteSVM takes a fee for the pools' authorities, too, as if they had signed.
        more = transaction.message.header.num_required_signatures - loaded.signers
        self._put_lamports(loaded.payer, payer.lamports + more * LAMPORTS_PER_SIGNATURE)
        raw = self._send(loaded, transaction)
        execution = as_sent(raw, loaded, plan, transaction.message.account_keys)
        execution = execution._replace(fee=fee if raw.entered else 0)
        if execution.error is not None:
            return execution
        if plan.refusal is not None:
            return refused(execution, plan.refusal, self._reason(plan.refusal))
        if execution.units > compute_limit(loaded):
            return out_of_units(execution, plan)
        for address, data in plan.accounts_after().items():
            account = self.accounts.existing(address)
            self.accounts.put(address, Account(account.lamports, data, account.owner))
        return execution

    def _reason(self, refusal: Refusal) -> Refused:
        """Return why the program refuses: it looks for the user's accounts before it calculates."""
        program = self._swaps[refusal.instruction.program_id]
        if None in map(self.accounts.get, program.user_accounts(refusal.instruction)):
            return ACCOUNT_NOT_INITIALIZED
        return refusal.reason

    def _charge(self, loaded: Loaded) -> None:
        payer = self.accounts.existing(loaded.payer)
        self._put_lamports(loaded.payer, payer.lamports - fee_of(loaded))

    def _put_lamports(self, address: Pubkey, lamports: int) -> None:
        account = self.accounts.existing(address)
        changed = Account(lamports, account.data, account.owner, account.executable)
        self.accounts.put(address, changed)
