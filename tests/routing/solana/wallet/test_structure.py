"""What is signed is what the order asked: every instruction, every account, every amount."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from solders.address_lookup_table_account import AddressLookupTableAccount
from solders.instruction import AccountMeta, Instruction
from solders.message import MessageV0
from solders.pubkey import Pubkey

from routing.solana.addresses import (
    COMPUTE_BUDGET_PROGRAM,
    CPMM_PROGRAM,
    DLMM_PROGRAM,
    MEMO_PROGRAM,
    SYSTEM_PROGRAM,
    TOKEN_PROGRAM,
    associated_token_account,
)
from routing.solana.cpmm.instructions import PoolAt
from routing.solana.programs import compute_budget, memo, system, token
from routing.solana.swap_amounts import exact_in, exact_out
from routing.solana.transactions.assembly import temporary_account
from routing.solana.transactions.legs import NATIVE_SOL, Asset, CpmmLeg
from routing.solana.transactions.message import message_of
from routing.solana.wallet.permit import FeeLimits, Permit, TransactionForbidden
from routing.solana.wallet.structure import check_structure
from routing.venue import Bound
from tests.routing.solana.recorded import PAIR, POOL, SOL_MINT, USDC_MINT, USER, USER_SOL, USER_USDC
from tests.routing.solana.trades import (
    BLOCK,
    BUY_ON_CPMM,
    OTHER,
    OTHER_POOL,
    RENT,
    SECOND_HOP,
    SELL_ON_CPMM,
    SELL_ON_DLMM,
    SHAPES,
    SOL,
    TIP,
    USDC,
    USDC_ASSET,
    Shape,
)
from tests.routing.solana.wallet.desk import with_account

STRANGER = Pubkey.new_unique()
POOLS = frozenset({POOL.address, PAIR.address, OTHER_POOL.address})
LIMITS = FeeLimits(200, RENT, TIP.lamports, frozenset({TIP.receiver}))


def permit_for(shape: Shape, wallet: Pubkey = USER) -> Permit:
    """What an order would have said for which this shape is right."""
    into = [leg.amounts for leg in shape.legs if leg.asset_in.mint == shape.gives.mint]
    out = [leg.amounts for leg in shape.legs if leg.asset_out.mint == shape.takes.mint]
    most, least = sum(one.amount_in for one in into), sum(one.amount_out for one in out)
    is_exact_in = into[0].is_exact_in
    return Permit(
        wallet=wallet,
        gives=shape.gives,
        takes=shape.takes,
        amount_in=most if is_exact_in else None,
        amount_out=None if is_exact_in else least,
        bound=Bound(min_out=least) if is_exact_in else Bound(max_in=most),
        pools=POOLS,
        fees=LIMITS,
    )


def message(instructions: list[Instruction]) -> MessageV0:
    return MessageV0.try_compile(USER, instructions, [], BLOCK.hash)


def check(shape: Shape, instructions: list[Instruction] | None = None) -> None:
    parts = shape.instructions(USER) if instructions is None else instructions
    check_structure(message(parts), permit_for(shape))


@pytest.mark.parametrize("name", SHAPES)
def test_what_we_make_for_an_order_is_allowed(name: str) -> None:
    check(SHAPES[name])


SELL = SHAPES["sell on both"]
NONCE = "0123456789abcdef"
OWN = temporary_account(USER, NONCE)


OF_THE_PROGRAMS = {
    # The pool's own accounts: the program itself refuses others. Which pool is checked.
    CPMM_PROGRAM: {2, 6, 7, 12},
    DLMM_PROGRAM: {2, 3, 8, 16, 17},
}


@pytest.mark.parametrize("name", SHAPES)
def test_no_account_but_a_pools_own_can_be_another(name: str) -> None:
    shape = SHAPES[name]
    parts = shape.instructions(USER)
    tried = 0
    for number, part in enumerate(parts):
        for place in range(len(part.accounts)):
            if place in OF_THE_PROGRAMS.get(part.program_id, ()):
                continue
            for key in (STRANGER, USER_SOL, OWN):
                if key == part.accounts[place].pubkey:
                    continue
                others = [*parts[:number], with_account(part, place, key), *parts[number + 1 :]]
                with pytest.raises(TransactionForbidden):
                    check(shape, others)
                tried += 1
    assert tried > 20


@pytest.mark.parametrize("name", SHAPES)
def test_no_byte_of_an_instruction_can_be_another_unless_it_is_a_lower_fee(name: str) -> None:
    shape = SHAPES[name]
    parts = shape.instructions(USER)
    for number, part in enumerate(parts):
        if part.program_id in (MEMO_PROGRAM, COMPUTE_BUDGET_PROGRAM):
            continue
        for place in range(len(part.data)):
            data = bytearray(part.data)
            data[place] ^= 0x81
            others = list(parts)
            others[number] = Instruction(part.program_id, bytes(data), part.accounts)
            if _is_less(part, bytes(data)):
                continue
            with pytest.raises(TransactionForbidden):
                check(shape, others)


def _is_less(part: Instruction, data: bytes) -> bool:
    """Whether it lowers a tip, what is wrapped or put in, or raises what has to be gained."""
    if part.program_id == SYSTEM_PROGRAM:
        at = slice(4, 12) if part.data[0] == 2 else slice(4 + 32 + 8 + 16, 4 + 32 + 8 + 16 + 8)
        return data[at] != part.data[at] and _number(data[at]) < _number(part.data[at])
    if part.program_id in (CPMM_PROGRAM, DLMM_PROGRAM):
        is_exact_in = part.data[0] in (0x8F, 0x41)
        at = slice(16, 24) if is_exact_in else slice(8, 16)
        better = _number(data[at]) > _number(part.data[at])
        is_second = part.accounts[3].pubkey == OTHER_POOL.address
        takes_less = data[16:] == part.data[16:] and _number(data[8:16]) < _number(part.data[8:16])
        if is_second and data[:8] == part.data[:8] and takes_less:
            return True  # the rest stays in the wallet
        return data[at] != part.data[at] and better is is_exact_in
    return False


def _number(data: bytes) -> int:
    return int.from_bytes(data, "little")


@pytest.mark.parametrize("name", SHAPES)
def test_without_one_of_its_instructions_it_is_allowed_only_if_that_is_harmless(name: str) -> None:
    shape = SHAPES[name]
    parts = shape.instructions(USER)
    for number, part in enumerate(parts):
        others = parts[:number] + parts[number + 1 :]
        is_harmless = (
            part.program_id == MEMO_PROGRAM
            or (part.program_id == COMPUTE_BUDGET_PROGRAM and part.data[0] == 3)
            or part == token.create_associated_account(USER, USER, USDC_MINT)
            or (part.program_id == SYSTEM_PROGRAM and part.data[0] == 2)
        )
        if is_harmless:
            check(shape, others)
        else:
            with pytest.raises(TransactionForbidden):
                check(shape, others)


def approve(delegate: Pubkey) -> Instruction:
    metas = [
        AccountMeta(USER_USDC, False, True),
        AccountMeta(delegate, False, False),
        AccountMeta(USER, True, False),
    ]
    return Instruction(TOKEN_PROGRAM, b"\x04" + (10**9).to_bytes(8, "little"), metas)


def another_signer(parts: list[Instruction]) -> list[Instruction]:
    metas = [*parts[-1].accounts[:2], AccountMeta(STRANGER, True, False)]
    return [*parts[:-1], Instruction(TOKEN_PROGRAM, parts[-1].data, metas)]


def written(parts: list[Instruction]) -> list[Instruction]:
    """The pool's config is named as writable."""
    swap = next(part for part in parts if part.program_id == CPMM_PROGRAM)
    metas = list(swap.accounts)
    metas[2] = AccountMeta(metas[2].pubkey, False, True)
    changed = Instruction(swap.program_id, swap.data, metas)
    return [changed if part == swap else part for part in parts]


def with_bytes(instruction: Instruction, more: bytes = b"\0") -> Instruction:
    return Instruction(instruction.program_id, instruction.data + more, instruction.accounts)


def unsigned(instruction: Instruction) -> Instruction:
    """Nobody has to sign it. The network would refuse that, and we do not rely on it."""
    metas = [AccountMeta(one.pubkey, False, one.is_writable) for one in instruction.accounts]
    return Instruction(instruction.program_id, instruction.data, metas)


BACK = CpmmLeg(
    PoolAt(POOL.address, replace(POOL.account, mint_0=OTHER.mint, mint_1=SOL_MINT)),
    exact_in(1, 1),
    from_0=True,
)
USER_OTHER = associated_token_account(USER, OTHER.mint)


def strangely_programmed() -> Instruction:
    """A swap that would hand the wallet's signature to a program of its own."""
    pool = PoolAt(POOL.address, replace(POOL.account, token_program_1=STRANGER))
    leg = replace(SELL_ON_CPMM, pool=pool)
    strange = associated_token_account(USER, USDC_MINT, STRANGER)
    return leg.instruction(USER, {SOL_MINT: OWN, USDC_MINT: strange})


def with_swap(*swaps: Instruction) -> Callable[[list[Instruction]], list[Instruction]]:
    return lambda parts: [*parts[:-1], *swaps, parts[-1]]


ACCOUNTS = {POOL.account.mint_0: OWN, USDC_MINT: USER_USDC}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda parts: [*parts, approve(STRANGER)], "a token instruction that moves, approves"),
        (
            lambda parts: [*parts, token.close_account(USER_USDC, STRANGER, USER)],
            "a token instruction that moves, approves",
        ),
        (
            lambda parts: [
                *parts,
                token.transfer_checked(USER_USDC, USDC_MINT, STRANGER, USER, 5, 6),
            ],
            "a token instruction that moves, approves",
        ),
        (lambda parts: [approve(STRANGER), *parts], "a token instruction without"),
        (lambda parts: [*parts, system.transfer(USER, STRANGER, 1)], "lamports are sent to"),
        (
            lambda parts: [*parts, system.transfer(USER, TIP.receiver, 1)],
            "its tips are 5001 lamports, and at most 5000 may be",
        ),
        (
            lambda parts: [*parts, system.create_with_seed(USER, "two", RENT, 165, TOKEN_PROGRAM)],
            "a second temporary account",
        ),
        (
            lambda parts: [*parts, system.create_with_seed(USER, "two", 5, 10, STRANGER)],
            "a second temporary account",
        ),
        (
            lambda parts: [
                system.create_with_seed(USER, "two", RENT, 165, STRANGER),
                *parts,
            ],
            "it is not as we would make it",
        ),
        (
            lambda parts: [
                *parts[:2],
                system.create_with_seed(USER, NONCE, RENT + 3 * SOL + 1, 165, TOKEN_PROGRAM),
                *parts[3:],
            ],
            "3001488441 lamports are wrapped, and at most 3001488440 may be",
        ),
        (
            lambda parts: [*parts, token.create_associated_account(USER, STRANGER, USDC_MINT)],
            "an account is made for another owner",
        ),
        (
            lambda parts: [
                *parts,
                token.create_associated_account(USER, USER, USDC_MINT, STRANGER),
            ],
            "by a strange token program",
        ),
        (
            lambda parts: [*parts, token.create_associated_account(USER, USER, OTHER.mint)],
            "an account is made for a token that it does not trade",
        ),
        (lambda parts: [*parts, Instruction(STRANGER, b"", [])], "it calls the program"),
        (
            lambda parts: [
                *parts,
                Instruction(MEMO_PROGRAM, b"", [AccountMeta(USER, True, False)]),
            ],
            "a memo names accounts",
        ),
        (lambda parts: [*parts, compute_budget.limit(5)], "a second one"),
        (lambda parts: [*parts, compute_budget.price(5)], "a second one"),
        (
            lambda parts: [
                *parts,
                Instruction(COMPUTE_BUDGET_PROGRAM, b"\x01\x00\x80\x00\x00", []),
            ],
            "a budget of another kind",
        ),
        (
            lambda parts: [with_bytes(parts[0], b"\0"), *parts[1:]],
            "it is not as we would make it",
        ),
        (
            lambda parts: [parts[0], with_bytes(parts[1], b"\0"), *parts[2:]],
            "it is not as we would make it",
        ),
        (
            lambda parts: [*parts, unsigned(system.transfer(STRANGER, TIP.receiver, 0))],
            "of another",
        ),
        (
            with_swap(
                unsigned(SELL_ON_CPMM.instruction(STRANGER, {SOL_MINT: OWN, USDC_MINT: OWN}))
            ),
            "a swap of another wallet",
        ),
        (
            with_swap(
                with_bytes(SELL_ON_CPMM.instruction(USER, {SOL_MINT: OWN, USDC_MINT: USER_USDC}))
            ),
            "a swap of CPMM with too much or too little",
        ),
        (
            with_swap(
                with_bytes(SELL_ON_DLMM.instruction(USER, {SOL_MINT: OWN, USDC_MINT: USER_USDC}))
            ),
            "without bins, or with transfer hooks",
        ),
        (with_swap(strangely_programmed()), "a swap with a strange token program"),
        (
            with_swap(BACK.instruction(USER, {OTHER.mint: USER_OTHER, SOL_MINT: OWN})),
            "it buys what the order sells",
        ),
        (
            lambda parts: [compute_budget.limit(200_001), *parts[1:]],
            "its priority fee is 201 lamports, and at most 200 may be",
        ),
        (lambda parts: parts[1:], "it sets no limit of compute units"),
        (lambda parts: [*parts, memo.memo("a")][:-2], "its temporary account is left behind"),
        (another_signer, "it is not for the wallet alone to sign"),
        (written, "could be written, and nothing needs that"),
        (
            with_swap(replace(SELL_ON_CPMM, amounts=exact_in(1, 1)).instruction(USER, ACCOUNTS)),
            "it gives 3000000001 atoms, and the order 3000000000",
        ),
        (
            with_swap(replace(BUY_ON_CPMM, amounts=exact_in(1, 1)).instruction(USER, ACCOUNTS)),
            "it sells what the order buys",
        ),
        (
            with_swap(SECOND_HOP.instruction(USER, ACCOUNTS | {OTHER.mint: STRANGER})),
            "not the wallet's own",
        ),
    ],
)
def test_what_the_order_did_not_ask_is_forbidden(
    change: Callable[[list[Instruction]], list[Instruction]], reason: str
) -> None:
    with pytest.raises(TransactionForbidden, match=reason):
        check(SELL, change(SELL.instructions(USER, NONCE)))


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        (
            replace(SELL, legs=[replace(SELL_ON_CPMM, amounts=exact_in(SOL, 1)), SELL_ON_DLMM]),
            "it gives 2500000000 atoms, and the order 3000000000",
        ),
        (
            replace(
                SELL,
                legs=[replace(SELL_ON_CPMM, amounts=exact_in(3 * SOL // 2, 1)), SELL_ON_DLMM],
            ),
            "it may gain only 149000001, and the order wants 298000000",
        ),
        (
            replace(
                SELL,
                legs=[
                    replace(SELL_ON_CPMM, amounts=exact_out(149 * USDC, 3 * SOL // 2)),
                    SELL_ON_DLMM,
                ],
            ),
            "the order's input is fixed, and a swap's is not",
        ),
        (replace(SELL, legs=[]), "the order's SOL is native"),
    ],
)
def test_amounts_that_the_order_did_not_say_are_forbidden(shape: Shape, reason: str) -> None:
    with pytest.raises(TransactionForbidden, match=reason):
        check_structure(message(shape.instructions(USER)), permit_for(SELL))


@pytest.mark.parametrize(
    ("amounts", "reason"),
    [
        (exact_out(SOL, 151 * USDC), "it gives up to 151000000, and the order 150000000"),
        (exact_out(SOL - 1, 150 * USDC), "it gains 999999999, and the order 1000000000"),
        (exact_in(150 * USDC, SOL), "the order's output is fixed, and a swap's is not"),
    ],
)
def test_a_fixed_output_is_held_to_too(amounts: object, reason: str) -> None:
    buy = SHAPES["buy on CPMM"]
    shape = replace(buy, legs=[replace(BUY_ON_CPMM, amounts=amounts)])
    with pytest.raises(TransactionForbidden, match=reason):
        check_structure(message(shape.instructions(USER)), permit_for(buy))


@pytest.mark.parametrize("name", ["sell on CPMM", "buy on CPMM", "sell wrapped"])
def test_sol_is_given_and_taken_in_the_form_that_the_order_named(name: str) -> None:
    shape = SHAPES[name]
    permit = permit_for(shape)
    other = {
        side: asset._replace(is_native=not asset.is_native)
        for side, asset in (("gives", permit.gives), ("takes", permit.takes))
        if asset.mint == SOL_MINT
    }
    with pytest.raises(TransactionForbidden):
        check_structure(message(shape.instructions(USER)), replace(permit, **other))


def test_wrapped_sol_that_was_asked_for_is_not_unwrapped() -> None:
    shape = SHAPES["buy on CPMM"]
    permit = replace(permit_for(shape), takes=Asset(SOL_MINT))
    with pytest.raises(TransactionForbidden, match="the order's SOL is wrapped"):
        check_structure(message(shape.instructions(USER)), permit)


def test_native_sol_that_was_asked_for_is_not_left_wrapped() -> None:
    shape = replace(SHAPES["buy on CPMM"], takes=Asset(SOL_MINT))
    permit = replace(permit_for(shape), takes=NATIVE_SOL)
    with pytest.raises(TransactionForbidden, match="the order's SOL is native"):
        check_structure(message(shape.instructions(USER)), permit)


def test_a_second_hop_never_spends_what_the_wallet_held_before() -> None:
    hops = SHAPES["two hops"]
    second = replace(SECOND_HOP, amounts=exact_in(149 * USDC + 1, 5))
    with pytest.raises(TransactionForbidden, match="than its own swaps buy before"):
        check(replace(hops, legs=[hops.legs[0], second]))
    with pytest.raises(TransactionForbidden, match="than its own swaps buy before"):
        check(replace(hops, legs=[hops.legs[1], hops.legs[0]]))


def test_a_pool_that_is_not_on_the_list_is_forbidden() -> None:
    permit = replace(permit_for(SELL), pools=frozenset({POOL.address}))
    with pytest.raises(TransactionForbidden, match=f"in the pool {PAIR.address}, which is not"):
        check_structure(message(SELL.instructions(USER)), permit)


def test_a_bound_that_is_missing_is_no_bound() -> None:
    permit = replace(permit_for(SELL), bound=Bound())
    with pytest.raises(TransactionForbidden, match="the order wants 0"):
        check_structure(message(SELL.instructions(USER)), permit)


def test_addresses_from_tables_are_checked_as_those_in_the_message() -> None:
    parts = SELL.instructions(USER)
    named = sorted({one.pubkey for part in parts for one in part.accounts} - {USER}, key=bytes)
    table = AddressLookupTableAccount(Pubkey.new_unique(), named)
    short = message_of(USER, parts, BLOCK.hash, [table])
    swapped = AddressLookupTableAccount(table.key, [*named[1:], named[0]])

    check_structure(short, permit_for(SELL), [table])
    with pytest.raises(TransactionForbidden):
        check_structure(short, permit_for(SELL), [swapped])
    with pytest.raises(TransactionForbidden, match="unknown table"):
        check_structure(short, permit_for(SELL))


def test_the_permits_amounts_are_the_orders() -> None:
    selling, buying = permit_for(SELL), permit_for(SHAPES["buy on CPMM"])

    assert (selling.most_in, selling.least_out) == (3 * SOL, 298 * USDC)
    assert (buying.most_in, buying.least_out) == (150 * USDC, SOL)
    assert (selling.gives, selling.takes) == (NATIVE_SOL, USDC_ASSET)
    assert associated_token_account(USER, USDC_MINT) == USER_USDC
