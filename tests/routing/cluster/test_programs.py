"""Real programs in the place of the emulation, if the user has them."""

from pathlib import Path

import pytest
from solders.instruction import Instruction
from solders.litesvm import LiteSVM

from routing.cluster.cluster import Cluster, Settings
from routing.solana.addresses import CPMM_PROGRAM, DLMM_PROGRAM, MEMO_PROGRAM
from routing.solana.swap_amounts import exact_in
from tests.routing.cluster.swaps import in_dlmm, market
from tests.support.local_cluster import local_cluster


def dumped(folder: Path) -> Path:
    """Dump a program that LiteSVM has, as a user would dump the swap program."""
    memo = LiteSVM().get_account(MEMO_PROGRAM)
    assert memo
    (folder / f"{CPMM_PROGRAM}.so").write_bytes(memo.data)
    return folder


async def test_a_program_that_was_dumped_executes_its_instructions(tmp_path: Path) -> None:
    async with local_cluster(programs=dumped(tmp_path)) as node:
        await node.advance(2)
        told = await node.land(Instruction(CPMM_PROGRAM, b"real", []))

        assert told["meta"]["err"] is None
        assert any("Memo (len 4)" in line for line in told["meta"]["logMessages"])
        assert not node.cluster.chain.machine.is_emulated(CPMM_PROGRAM)


async def test_the_other_program_is_still_emulated(tmp_path: Path) -> None:
    async with local_cluster(programs=dumped(tmp_path)) as node:
        await node.advance(2)
        swap = await in_dlmm(node, market("SOL/USDC"), exact_in(10**9, 1), sells=True)
        told = await node.land(Instruction(CPMM_PROGRAM, b"real", []), swap)

        assert told["meta"]["err"] is None
        assert node.cluster.chain.machine.is_emulated(DLMM_PROGRAM)
        assert any("Memo (len 4)" in line for line in told["meta"]["logMessages"])


def test_a_folder_without_the_programs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=str(CPMM_PROGRAM)):
        Cluster(Settings(programs=tmp_path))
