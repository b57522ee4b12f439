"""What an emulated program says of one of its instructions."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from solders.instruction import Instruction
from solders.pubkey import Pubkey

from routing.cluster.messages import Reads
from routing.solana.token_accounts import Clock


class Refused(Exception):
    """The program fails, and the transaction with it. `code` is its own; None if it panics."""

    def __init__(self, code: int | None, name: str) -> None:
        super().__init__(f"{name} ({code})")
        self.code = code
        self.name = name

    @property
    def error(self) -> Any:
        """The error of the instruction as JSON, in the chain's words."""
        return "ProgramFailedToComplete" if self.code is None else {"Custom": self.code}


class Effect(NamedTuple):
    """What an instruction does: the token program's part of it, and the program's own."""

    name: str
    """The instruction's name, as the program logs it."""
    transfers: tuple[Instruction, ...]
    after: Mapping[Pubkey, bytes]
    """The bytes of the program's own accounts afterwards."""
    vaults: Mapping[Pubkey, int]
    """The atoms in the pool's token accounts afterwards."""
    units: int
    """About how many compute units the real program takes beside the transfers."""


class SwapProgram(Protocol):
    def effect(self, instruction: Instruction, accounts: Reads, clock: Clock) -> Effect:
        """Return what the instruction does at this time.

        :raises Refused: the program fails.
        """
        ...

    def user_accounts(self, instruction: Instruction) -> tuple[Pubkey, ...]:
        """Return the token accounts of the user that the instruction names, as far as it does."""
        ...


ACCOUNT_NOT_INITIALIZED = Refused(3012, "AccountNotInitialized")
UNKNOWN_INSTRUCTION = Refused(101, "InstructionFallbackNotFound")
UNREADABLE_DATA = Refused(102, "InstructionDidNotDeserialize")
NOT_ENOUGH_KEYS = Refused(3005, "AccountNotEnoughKeys")
NOT_A_SIGNER = Refused(3010, "AccountNotSigner")
WRONG_KIND = Refused(3002, "AccountDiscriminatorMismatch")
WRONG_OWNER = Refused(3007, "AccountOwnedByWrongProgram")
WRONG_ADDRESS = Refused(2012, "ConstraintAddress")
WRONG_RELATION = Refused(2001, "ConstraintHasOne")
WRONG_SEEDS = Refused(2006, "ConstraintSeeds")
CONSTRAINT_BROKEN = Refused(2003, "ConstraintRaw")
"""Anchor's codes, which programs share."""


def require(holds: bool, otherwise: Refused) -> None:
    """:raises Refused: it does not hold."""
    if not holds:
        raise otherwise
