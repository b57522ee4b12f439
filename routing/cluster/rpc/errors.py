"""What a node answers in place of a result."""

from typing import Any

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
PREFLIGHT_FAILURE = -32002
SIGNATURE_FAILURE = -32003
NODE_UNHEALTHY = -32005
SIGNATURE_LENGTH = -32013
UNSUPPORTED_VERSION = -32015
CONTEXT_SLOT_NOT_REACHED = -32016


class RpcError(Exception):
    """An error of JSON-RPC. Whether trying again helps depends on its code."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data

    def as_json(self) -> dict[str, Any]:
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        return error if self.data is None else error | {"data": self.data}


def invalid(message: str) -> RpcError:
    return RpcError(INVALID_PARAMS, message)


def node_behind(slots: int) -> RpcError:
    message = f"Node is behind by {slots} slots"
    return RpcError(NODE_UNHEALTHY, message, {"numSlotsBehind": slots})
