"""The cluster's own methods: faults, time, and what there is to trade."""

from typing import Any

from routing.cluster.genesis.accounts import pools
from routing.cluster.rpc.errors import invalid
from routing.cluster.rpc.faults import fault_json, read_fault
from routing.cluster.rpc.node import Node
from routing.cluster.rpc.parameters import Parameters

MOST_SLOTS = 10_000


def set_faults(node: Node, given: Parameters) -> Any:
    """Replace all faults of the node that is asked by those in the list; return them."""
    node.faults.replace([read_fault(one) for one in given.list(0, 100)])
    return get_faults(node, given)


def get_faults(node: Node, given: Parameters) -> Any:
    """Return the node's faults, with what is left of them."""
    return [fault_json(fault) for fault in node.faults.present]


def advance(node: Node, given: Parameters) -> Any:
    """Make so many slots at once, and return the latest one."""
    count = given.number(0) if given.get(0) is not None else 1
    if count > MOST_SLOTS:
        raise invalid(f"at most {MOST_SLOTS} slots at once")
    for _ in range(count):
        node.chain.advance()
    return node.chain.slot


def reorganise(node: Node, given: Parameters) -> Any:
    """Take the latest slot back; its transactions land again, or are lost. Return them.

    `{"landsAgain": false}` loses them.
    """
    lands_again = given.options(0).get("landsAgain", True)
    return node.chain.reorganise(lands_again=bool(lands_again))


def describe(node: Node, given: Parameters) -> Any:
    """Return the funded wallet's address, and where the pools of each market stand."""
    return {
        "wallet": node.chain.store.fact("wallet"),
        "pools": [
            {"market": one.market.name, "raydium": str(one.cpmm), "meteora": str(one.pair)}
            for one in pools()
        ],
    }
