"""The methods that take transactions: to send them, or to try them out."""

from typing import Any

from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from routing.cluster.chain import EXPIRY_BLOCKS
from routing.cluster.execution import Execution
from routing.cluster.messages import NotLoaded
from routing.cluster.records import balances
from routing.cluster.rpc.encoding import account_json
from routing.cluster.rpc.errors import (
    PREFLIGHT_FAILURE,
    SIGNATURE_FAILURE,
    SIGNATURE_LENGTH,
    RpcError,
    invalid,
    node_behind,
)
from routing.cluster.rpc.faults import SEND, Kind
from routing.cluster.rpc.node import Node, with_context
from routing.cluster.rpc.parameters import Options, Parameters, to_address, to_transaction
from routing.cluster.store import Block

Accounts = dict[Pubkey, Any]

ENCODINGS = ("base58", "base64")


def send_transaction(node: Node, given: Parameters) -> Any:
    """Take a transaction. Unless the preflight is skipped, one that fails is not taken."""
    options = given.options(1)
    transaction = to_transaction(given.text(0), options.encoding("base58", ENCODINGS))
    _check_signatures(transaction)
    if not options.flag("skipPreflight"):
        _preflight(node, transaction, options)
    if not node.faults.hit(SEND, Kind.DROP):
        late = node.faults.hit(SEND, Kind.LATE)
        node.chain.take(transaction, late.slots if late else 0)
    return str(transaction.signatures[0])


def simulate_transaction(node: Node, given: Parameters) -> Any:
    """Try a transaction out on the cluster's latest state, whatever the commitment."""
    options = given.options(1)
    transaction = to_transaction(given.text(0), options.encoding("base58", ENCODINGS))
    replaces, verifies = options.flag("replaceRecentBlockhash"), options.flag("sigVerify")
    if replaces and verifies:
        raise invalid("sigVerify may not be used with replaceRecentBlockhash")
    if verifies:
        _check_signatures(transaction)
    block = node.block_for(options)
    if not replaces and (error := _error_before(node, transaction, block)):
        return with_context(block, _simulated(Execution(error), None))
    execution, after = node.chain.machine.try_out(transaction)
    accounts = _accounts_after(node, after, options)
    value = _simulated(execution, accounts) | _balances(node, transaction, after)
    if replaces:
        last = block.height + EXPIRY_BLOCKS
        value["replacementBlockhash"] = {
            "blockhash": block.blockhash,
            "lastValidBlockHeight": last,
        }
    if options.flag("innerInstructions"):
        value["innerInstructions"] = list(execution.inner)
    return with_context(block, value)


def request_airdrop(node: Node, given: Parameters) -> Any:
    """Have the cluster's bank send lamports to an address; return the signature."""
    address, lamports = given.address(0), given.number(1)
    return str(node.bank.pay(address, lamports).signatures[0])


def _check_signatures(transaction: VersionedTransaction) -> None:
    needed = transaction.message.header.num_required_signatures
    if len(transaction.signatures) != needed:
        raise RpcError(SIGNATURE_LENGTH, "Transaction signature length mismatch")
    if not all(transaction.verify_with_results()):
        raise RpcError(SIGNATURE_FAILURE, "Transaction signature verification failure")


def _error_before(node: Node, transaction: VersionedTransaction, block: Block) -> Any:
    """Return why the transaction would not be executed at all, if that is so."""
    if not node.chain.is_valid(str(transaction.message.recent_blockhash), block):
        return "BlockhashNotFound"
    if node.landed(str(transaction.signatures[0])):
        return "AlreadyProcessed"
    return None


def _preflight(node: Node, transaction: VersionedTransaction, options: Options) -> None:
    if node.faults.admits_that_it_is_behind:
        raise node_behind(node.faults.slots_behind)
    block = node.block(options.commitment("preflightCommitment"))
    error = _error_before(node, transaction, block)
    execution = Execution(error) if error else node.chain.machine.try_out(transaction)[0]
    if execution.error is None:
        return
    raise RpcError(
        PREFLIGHT_FAILURE,
        f"Transaction simulation failed: {words_of(execution.error)}",
        _simulated(execution, None),
    )


def _simulated(execution: Execution, accounts: Any) -> dict[str, Any]:
    return {
        "err": execution.error,
        "logs": list(execution.logs),
        "accounts": accounts,
        "unitsConsumed": execution.units,
        "returnData": None,
        "innerInstructions": None,
        "replacementBlockhash": None,
        "fee": execution.fee or None,
    }


def _balances(node: Node, transaction: VersionedTransaction, after: Accounts) -> dict[str, Any]:
    """Return what all its accounts hold before and after, as the record of a landing has it."""
    accounts = node.chain.machine.accounts
    try:
        loaded = node.chain.machine.load(transaction)
    except NotLoaded:
        return {}
    now = balances(loaded, accounts.get)
    then = balances(loaded, lambda key: after[key] if key in after else accounts.get(key))
    return {
        "preBalances": now.lamports,
        "postBalances": then.lamports,
        "preTokenBalances": now.tokens,
        "postTokenBalances": then.tokens,
    }


def _accounts_after(node: Node, after: Accounts, options: Options) -> Any:
    """Return the accounts that are wanted. Those that were not touched are as they are."""
    wanted = options.get("accounts")
    if wanted is None:
        return None
    if not isinstance(wanted, dict) or not isinstance(wanted.get("addresses"), list):
        raise invalid("Invalid params: accounts has a list of addresses.")
    form = Options({"encoding": wanted.get("encoding") or "base64"})
    addresses = [to_address(text) for text in wanted["addresses"]]
    accounts = node.chain.machine.accounts
    found = [after[one] if one in after else accounts.get(one) for one in addresses]
    return [account_json(one, form) for one in found]


def words_of(error: Any) -> str:
    """Return an error of a transaction in the words in which nodes tell it to people."""
    if error == "BlockhashNotFound":
        return "Blockhash not found"
    if error == "AlreadyProcessed":
        return "This transaction has already been processed"
    if error == "AccountNotFound":
        return "Attempt to debit an account but found no record of a prior credit."
    if error == "InsufficientFundsForFee":
        return "Insufficient funds for fee"
    if isinstance(error, dict) and "InstructionError" in error:
        number, reason = error["InstructionError"]
        if isinstance(reason, dict) and "Custom" in reason:
            reason = f"custom program error: {reason['Custom']:#x}"
        return f"Error processing Instruction {number}: {reason}"
    return str(error)
