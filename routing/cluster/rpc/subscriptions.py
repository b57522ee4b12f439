"""What one WebSocket follows: signatures, accounts, slots."""

from collections.abc import Callable
from itertools import count
from typing import Any, NamedTuple

from solders.pubkey import Pubkey

from routing.cluster.chain import Told
from routing.cluster.rpc.encoding import ACCOUNT_ENCODINGS, account_json
from routing.cluster.rpc.errors import METHOD_NOT_FOUND, RpcError
from routing.cluster.rpc.methods import failure, name_of, result
from routing.cluster.rpc.node import Node, with_context
from routing.cluster.rpc.parameters import Options, Parameters

Push = Callable[[dict[str, Any]], None]


class _Signature(NamedTuple):
    signature: str
    commitment: str


class _Account(NamedTuple):
    address: Pubkey
    options: Options
    commitment: str


class _Slots(NamedTuple):
    pass


_ENDS = ("accountUnsubscribe", "signatureUnsubscribe", "slotUnsubscribe")

Subscription = _Signature | _Account | _Slots


class Subscriptions:
    """Those of one connection. `push` takes the messages for it, and must not wait."""

    def __init__(self, node: Node, push: Push) -> None:
        self._node = node
        self._push = push
        self._numbers = count(1)
        self._held: dict[int, Subscription] = {}
        self._told_up_to = node.latest
        self._seen: dict[int, int] = {}
        """For each account that is followed: the slot up to which its changes were told."""
        self._changed: dict[int, frozenset[Pubkey]] = {}

    def answer(self, request: Any) -> dict[str, Any]:
        """Begin or end a subscription, and return the whole answer as JSON."""
        try:
            name = name_of(request)
            given = Parameters(request.get("params"))
            if name in _ENDS:
                self._seen.pop(given.number(0), None)
                return result(request, self._held.pop(given.number(0), None) is not None)
            number = next(self._numbers)
            self._held[number] = one = self._subscription(name, given)
            if isinstance(one, _Account):
                self._seen[number] = self._node.block(one.commitment).slot
        except RpcError as error:
            return failure(request, error)
        return result(request, number)

    def tell_what_has_landed(self) -> None:
        """Tell which signatures had landed before they were followed."""
        for number, one in list(self._held.items()):
            if isinstance(one, _Signature):
                self._tell_signature(number, one)

    def hear(self, told: Told) -> None:
        """Tell what a new slot means for each subscription, as this node sees it."""
        self._changed[told.block.slot] = told.accounts
        before, self._told_up_to = self._told_up_to, self._node.latest
        for number, one in list(self._held.items()):
            if isinstance(one, _Signature):
                self._tell_signature(number, one)
            elif isinstance(one, _Account):
                self._tell_account(number, one)
            elif self._told_up_to.slot > before.slot:
                slot = self._told_up_to.slot
                root = self._node.chain.final(self._told_up_to).slot
                value = {"parent": before.slot, "root": root, "slot": slot}
                self._notify("slotNotification", number, value)
        for slot in [slot for slot in self._changed if slot < told.block.slot - 64]:
            del self._changed[slot]

    def _subscription(self, name: str, given: Parameters) -> Subscription:
        if name == "slotSubscribe":
            return _Slots()
        if name == "signatureSubscribe":
            return _Signature(given.signature(0), given.options(1).commitment())
        if name == "accountSubscribe":
            options = given.options(1)
            options.encoding("binary", ACCOUNT_ENCODINGS)
            return _Account(given.address(0), options, options.commitment())
        raise RpcError(METHOD_NOT_FOUND, "Method not found")

    def _tell_signature(self, number: int, one: _Signature) -> None:
        landed = self._node.landed(one.signature)
        block = self._node.block(one.commitment)
        if landed is None or landed.slot > block.slot:
            return
        value = with_context(block, {"err": landed.error})
        self._notify("signatureNotification", number, value)
        del self._held[number]  # as nodes do: it has told all there is to tell

    def _tell_account(self, number: int, one: _Account) -> None:
        block = self._node.block(one.commitment)
        slots = range(self._seen[number] + 1, block.slot + 1)
        self._seen[number] = block.slot
        if any(one.address in self._changed.get(slot, ()) for slot in slots):
            account = account_json(self._node.account(one.address, block), one.options)
            self._notify("accountNotification", number, with_context(block, account))

    def _notify(self, method: str, number: int, value: Any) -> None:
        if self._node.faults.is_mute:
            return
        params = {"result": value, "subscription": number}
        self._push({"jsonrpc": "2.0", "method": method, "params": params})
