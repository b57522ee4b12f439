"""A signer for tests: a key in memory."""

from dataclasses import dataclass, field

from solders.keypair import Keypair
from solders.pubkey import Pubkey

from routing.solana.wallet.signer import SignerUnavailable


@dataclass
class KeyInMemory:
    keypair: Keypair = field(default_factory=Keypair)
    asked: int = 0
    answers: list[bytes] = field(default_factory=list)
    """What it answers instead of signatures, first come first."""
    is_away: bool = False

    @property
    def wallet(self) -> Pubkey:
        return self.keypair.pubkey()

    async def sign(self, message: bytes) -> bytes:
        self.asked += 1
        if self.is_away:
            raise SignerUnavailable("away")
        if self.answers:
            return self.answers.pop(0)
        return bytes(self.keypair.sign_message(message))

    async def close(self) -> None:
        pass
