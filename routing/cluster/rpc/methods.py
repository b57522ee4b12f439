"""All methods by their names, and how one request is answered."""

import logging
from collections.abc import Callable
from typing import Any

from routing.cluster.rpc import accounts, admin, blocks, sending, transactions
from routing.cluster.rpc.errors import INTERNAL_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, RpcError
from routing.cluster.rpc.node import Node
from routing.cluster.rpc.parameters import Parameters

log = logging.getLogger(__name__)

Method = Callable[[Node, Parameters], Any]

METHODS: dict[str, Method] = {
    "getAccountInfo": accounts.get_account_info,
    "getBalance": accounts.get_balance,
    "getBlockHeight": blocks.get_block_height,
    "getBlockTime": blocks.get_block_time,
    "getEpochInfo": blocks.get_epoch_info,
    "getFeeForMessage": blocks.get_fee_for_message,
    "getFirstAvailableBlock": blocks.get_first_available_block,
    "getGenesisHash": blocks.get_genesis_hash,
    "getHealth": blocks.get_health,
    "getLatestBlockhash": blocks.get_latest_blockhash,
    "getMinimumBalanceForRentExemption": accounts.get_minimum_balance_for_rent_exemption,
    "getMultipleAccounts": accounts.get_multiple_accounts,
    "getProgramAccounts": accounts.get_program_accounts,
    "getRecentPrioritizationFees": blocks.get_recent_prioritization_fees,
    "getSignatureStatuses": transactions.get_signature_statuses,
    "getSignaturesForAddress": transactions.get_signatures_for_address,
    "getSlot": blocks.get_slot,
    "getTokenAccountBalance": accounts.get_token_account_balance,
    "getTokenAccountsByOwner": accounts.get_token_accounts_by_owner,
    "getTokenSupply": accounts.get_token_supply,
    "getTransaction": transactions.get_transaction,
    "getVersion": blocks.get_version,
    "isBlockhashValid": blocks.is_blockhash_valid,
    "requestAirdrop": sending.request_airdrop,
    "minimumLedgerSlot": blocks.get_first_available_block,
    "sendTransaction": sending.send_transaction,
    "simulateTransaction": sending.simulate_transaction,
    "cluster_advance": admin.advance,
    "cluster_describe": admin.describe,
    "cluster_faults": admin.get_faults,
    "cluster_reorganise": admin.reorganise,
    "cluster_setFaults": admin.set_faults,
}


def name_of(request: Any) -> str:
    """Return the method that a request names.

    :raises RpcError: it is no request.
    """
    if not isinstance(request, dict) or not isinstance(request.get("method"), str):
        raise RpcError(INVALID_REQUEST, "Invalid request")
    return str(request["method"])


def answer(node: Node, request: Any) -> dict[str, Any]:
    """Carry a request out, and return the whole answer as JSON."""
    try:
        name = name_of(request)
        if name not in METHODS:
            raise RpcError(METHOD_NOT_FOUND, "Method not found")
        return result(request, METHODS[name](node, Parameters(request.get("params"))))
    except RpcError as error:
        return failure(request, error)
    except Exception:  # a fault of ours: the node lives on, as a real one does
        log.exception("The cluster cannot answer %s", request)
        return failure(request, RpcError(INTERNAL_ERROR, "Internal error"))


def result(request: Any, value: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "result": value, "id": request.get("id")}


def failure(request: Any, error: RpcError) -> dict[str, Any]:
    number = request.get("id") if isinstance(request, dict) else None
    return {"jsonrpc": "2.0", "error": error.as_json(), "id": number}
