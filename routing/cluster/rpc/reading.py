"""The methods that read: blocks, accounts, transactions."""

import base64
from typing import Any

from solders.account import Account
from solders.message import MessageV0, from_bytes_versioned
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from routing.cluster.chain import EXPIRY_BLOCKS
from routing.cluster.machine import SLOTS_IN_AN_EPOCH
from routing.cluster.messages import NotLoaded, fee_of, load
from routing.cluster.records import amount_of
from routing.cluster.rpc.encoding import (
    TRANSACTION_ENCODINGS,
    account_json,
    error_json,
    transaction_json,
    version_json,
)
from routing.cluster.rpc.errors import invalid, node_behind
from routing.cluster.rpc.faults import Kind
from routing.cluster.rpc.node import VERSION, Node, with_context
from routing.cluster.rpc.parameters import (
    PROCESSED,
    Options,
    Parameters,
    to_address,
    to_number,
    to_signature,
)
from routing.cluster.rpc.program_accounts import wanted
from routing.solana.addresses import TOKEN_PROGRAMS
from routing.solana.layout import UnreadableAccount
from routing.solana.token_accounts import read_mint, read_token_account

MOST_STATUSES = 256
MOST_ACCOUNTS = 100
MOST_SIGNATURES = 1_000
RECENT_SLOTS = 300
"""So long a node has statuses at hand. Older ones are found by those who ask for the history."""


def get_health(node: Node, given: Parameters) -> Any:
    if node.faults.admits_that_it_is_behind:
        raise node_behind(node.faults.slots_behind)
    return "ok"


def get_version(node: Node, given: Parameters) -> Any:
    return {"solana-core": VERSION, "feature-set": 0}


def get_genesis_hash(node: Node, given: Parameters) -> Any:
    return node.chain.store.fact("genesis")


def get_slot(node: Node, given: Parameters) -> Any:
    return node.block_for(given.options(0)).slot


def get_block_height(node: Node, given: Parameters) -> Any:
    return node.block_for(given.options(0)).height


def get_epoch_info(node: Node, given: Parameters) -> Any:
    block = node.block_for(given.options(0))
    epoch, index = divmod(block.slot, SLOTS_IN_AN_EPOCH)
    return {
        "absoluteSlot": block.slot,
        "blockHeight": block.height,
        "epoch": epoch,
        "slotIndex": index,
        "slotsInEpoch": SLOTS_IN_AN_EPOCH,
        "transactionCount": None,
    }


def get_latest_blockhash(node: Node, given: Parameters) -> Any:
    block = node.block_for(given.options(0))
    last = block.height + EXPIRY_BLOCKS
    value = {"blockhash": block.blockhash, "lastValidBlockHeight": last}
    return with_context(block, value)


def is_blockhash_valid(node: Node, given: Parameters) -> Any:
    block = node.block_for(given.options(1))
    return with_context(block, node.chain.is_valid(given.text(0), block))


def get_block_time(node: Node, given: Parameters) -> Any:
    block = node.chain.store.block(given.number(0))
    return block.time if block else None


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


def get_recent_prioritization_fees(node: Node, given: Parameters) -> Any:
    addresses = given.list(0, 128) if given.get(0) is not None else []
    fees = node.chain.fees_paid({to_address(text) for text in addresses}, EXPIRY_BLOCKS)
    return [{"slot": slot, "prioritizationFee": price} for slot, price in fees]


def get_fee_for_message(node: Node, given: Parameters) -> Any:
    block = node.block_for(given.options(1))
    try:
        message = from_bytes_versioned(base64.b64decode(given.text(0), validate=True))
        loaded = load(message, lambda address: node.account(address, block))
    except (ValueError, NotLoaded) as error:
        raise invalid(f"invalid message: {error}") from None
    is_valid = node.chain.is_valid(str(message.recent_blockhash), block)
    return with_context(block, fee_of(loaded) if is_valid else None)


def get_signature_statuses(node: Node, given: Parameters) -> Any:
    signatures = [to_signature(text) for text in given.list(0, MOST_STATUSES)]
    history = given.options(1).flag("searchTransactionHistory")
    is_hidden = node.faults.hit("getSignatureStatuses", Kind.WRONG_NULL) is not None
    statuses = [None if is_hidden else _status(node, one, history) for one in signatures]
    return with_context(node.latest, statuses)


def get_transaction(node: Node, given: Parameters) -> Any:
    signature, options = given.signature(0), _options_or_encoding(given, 1)
    commitment = options.commitment()
    if commitment == PROCESSED:
        raise invalid("Method does not support commitment below `confirmed`")
    landed = node.landed(signature)
    if landed is None or landed.slot > node.block(commitment).slot:
        return None
    if node.faults.hit("getTransaction", Kind.WRONG_NULL):
        return None
    transaction = VersionedTransaction.from_bytes(landed.wire)
    version = version_json(transaction, options.get("maxSupportedTransactionVersion"))
    block = node.chain.store.block(landed.slot)
    meta = landed.record
    if not isinstance(transaction.message, MessageV0):
        meta = {name: value for name, value in meta.items() if name != "loadedAddresses"}
    encoding = options.encoding("json", TRANSACTION_ENCODINGS)
    return {
        "slot": landed.slot,
        "blockTime": block.time if block else None,
        "transaction": transaction_json(transaction, encoding),
        "meta": meta,
        "version": version,
    }


def get_signatures_for_address(node: Node, given: Parameters) -> Any:
    address, options = given.address(0), given.options(1)
    block = node.block_for(options)
    limit = min(to_number(options.get("limit", MOST_SIGNATURES)), MOST_SIGNATURES)
    mentions = node.chain.store.mentions(
        address, limit, options.get("before"), options.get("until"), block.slot
    )
    return [
        {
            "signature": one.signature,
            "slot": one.slot,
            "err": one.error,
            "memo": None,
            "blockTime": one.time,
            "confirmationStatus": node.confirmation(one.slot),
        }
        for one in mentions
    ]


def _status(node: Node, signature: str, history: bool) -> Any:
    landed = node.landed(signature)
    if landed is None or (not history and landed.slot < node.latest.slot - RECENT_SLOTS):
        return None
    confirmation = node.confirmation(landed.slot)
    is_final = confirmation != PROCESSED
    return {
        "slot": landed.slot,
        "confirmations": None if is_final else node.latest.slot - landed.slot,
        "err": landed.error,
        "status": error_json(landed.error),
        "confirmationStatus": confirmation,
    }


def _options_or_encoding(given: Parameters, place: int) -> Options:
    """Return the options; old clients send the encoding alone."""
    value = given.get(place)
    return Options({"encoding": value}) if isinstance(value, str) else given.options(place)


def _is_held_by(account: Account, owner: Pubkey, mint: Pubkey | None) -> bool:
    try:
        held = read_token_account(account.data)
    except UnreadableAccount:
        return False
    return held.owner == owner and mint in (None, held.mint)


def _decimals(node: Node, mint: Pubkey) -> int:
    account = node.account(mint, node.latest)
    return read_mint(account.data).decimals if account else 0
