"""The methods that read blocks: where the chain stands, what is valid, what was paid."""

import base64
from typing import Any

from solders.message import from_bytes_versioned

from routing.cluster.chain import EXPIRY_BLOCKS
from routing.cluster.machine import SLOTS_IN_AN_EPOCH
from routing.cluster.messages import NotLoaded, fee_of, load
from routing.cluster.rpc.errors import invalid, node_behind
from routing.cluster.rpc.node import VERSION, Node, with_context
from routing.cluster.rpc.parameters import Parameters, to_address

MOST_ADDRESSES = 128


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


def get_first_available_block(node: Node, given: Parameters) -> Any:
    """Return where the history of transactions begins. Those of the trader go after two hours."""
    return node.first_slot


def get_block_time(node: Node, given: Parameters) -> Any:
    block = node.chain.store.block(given.number(0))
    return block.time if block else None


def get_recent_prioritization_fees(node: Node, given: Parameters) -> Any:
    addresses = given.list(0, MOST_ADDRESSES) if given.get(0) is not None else []
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
