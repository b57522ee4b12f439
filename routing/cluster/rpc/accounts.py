"""The methods that read accounts: balances, tokens, the accounts of a program."""

from typing import Any

from solders.account import Account
from solders.pubkey import Pubkey

from routing.cluster.records import amount_of
from routing.cluster.rpc.encoding import account_json
from routing.cluster.rpc.errors import invalid
from routing.cluster.rpc.node import Node, with_context
from routing.cluster.rpc.parameters import Parameters, to_address
from routing.cluster.rpc.program_accounts import wanted
from routing.solana.addresses import TOKEN_PROGRAMS
from routing.solana.layout import UnreadableAccount
from routing.solana.token_accounts import read_mint, read_token_account

MOST_ACCOUNTS = 100


def get_account_info(node: Node, given: Parameters) -> Any:
    options = given.options(1)
    block = node.block_for(options)
    return with_context(block, account_json(node.account(given.address(0), block), options))


def get_multiple_accounts(node: Node, given: Parameters) -> Any:
    options = given.options(1)
    block = node.block_for(options)
    addresses = [to_address(text) for text in given.list(0, MOST_ACCOUNTS)]
    found = [account_json(node.account(one, block), options) for one in addresses]
    return with_context(block, found)


def get_balance(node: Node, given: Parameters) -> Any:
    block = node.block_for(given.options(1))
    account = node.account(given.address(0), block)
    return with_context(block, account.lamports if account else 0)


def get_minimum_balance_for_rent_exemption(node: Node, given: Parameters) -> Any:
    return node.chain.machine.rent_for(given.number(0))


def get_program_accounts(node: Node, given: Parameters) -> Any:
    options = given.options(1)
    block = node.block_for(options)
    is_wanted = wanted(options.get("filters", []))
    accounts = node.chain.machine.accounts.owned_by(given.address(0), block.slot)
    found = [
        {"pubkey": str(address), "account": account_json(account, options)}
        for address, account in accounts
        if is_wanted(account.data)
    ]
    return with_context(block, found) if options.flag("withContext") else found


def get_token_accounts_by_owner(node: Node, given: Parameters) -> Any:
    owner, which, options = given.address(0), given.options(1), given.options(2)
    block = node.block_for(options)
    mint = to_address(which.get("mint")) if which.get("mint") else None
    program = to_address(which.get("programId")) if which.get("programId") else None
    if (mint is None) == (program is None):
        raise invalid("Invalid params: one of mint and programId is needed.")
    found = []
    for token_program in TOKEN_PROGRAMS if program is None else (program,):
        for address, account in node.chain.machine.accounts.owned_by(token_program, block.slot):
            if _is_held_by(account, owner, mint):
                told = {"pubkey": str(address), "account": account_json(account, options)}
                found.append(told)
    return with_context(block, found)


def get_token_account_balance(node: Node, given: Parameters) -> Any:
    block = node.block_for(given.options(1))
    account = node.account(given.address(0), block)
    if account is None:
        raise invalid("Invalid param: could not find account")
    try:
        held = read_token_account(account.data)
    except UnreadableAccount:
        raise invalid("Invalid param: not a Token account") from None
    return with_context(block, amount_of(held.amount, _decimals(node, held.mint)))


def get_token_supply(node: Node, given: Parameters) -> Any:
    block = node.block_for(given.options(1))
    account = node.account(given.address(0), block)
    if account is None:
        raise invalid("Invalid param: could not find account")
    try:
        mint = read_mint(account.data)
    except UnreadableAccount:
        raise invalid("Invalid param: not a Token mint") from None
    return with_context(block, amount_of(mint.supply, mint.decimals))


def _is_held_by(account: Account, owner: Pubkey, mint: Pubkey | None) -> bool:
    try:
        held = read_token_account(account.data)
    except UnreadableAccount:
        return False
    return held.owner == owner and mint in (None, held.mint)


def _decimals(node: Node, mint: Pubkey) -> int:
    account = node.account(mint, node.latest)
    return read_mint(account.data).decimals if account else 0
