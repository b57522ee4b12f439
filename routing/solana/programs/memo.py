"""The Memo program: text in a transaction."""

from solders.instruction import Instruction

from routing.solana.addresses import MEMO_PROGRAM


def memo(text: str) -> Instruction:
    """Have a text in the transaction. No account signs it."""
    return Instruction(MEMO_PROGRAM, text.encode(), [])
