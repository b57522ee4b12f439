"""How a WebSocket is closed: each code, and what a client does then."""

from enum import IntEnum


class Close(IntEnum):
    """The codes with which a socket ends. `meaning` is for those who write clients."""

    meaning: str

    def __new__(cls, code: int, meaning: str) -> "Close":
        member = int.__new__(cls, code)
        member._value_, member.meaning = code, meaning
        return member

    DONE = 1000, "All was told that there is to tell: of one order, its final event."
    TOO_LARGE = 1009, "A frame has more than 64 KiB. The server closes so, before it is read."
    BROKEN = (
        1011,
        "Something broke on our side, or no pong came for ten seconds. Connect again, and go on"
        " from what you have.",
    )
    RESTARTS = (
        1012,
        "The server restarts. Connect again, and go on from what you have. A socket that was just"
        " being opened is refused with HTTP 500, and may connect again, too.",
    )
    TRY_AGAIN_LATER = 1013, "The database does not answer. Connect again."
    JUNK = (
        4400,
        "A frame that is no JSON object; or a query with a parameter that is unknown, empty,"
        " repeated or means nothing.",
    )
    WHO_ARE_YOU = (
        4401,
        "A key, ticket or session that is unknown or no longer holds; or none where one is needed.",
    )
    NOT_FOR_THIS = (
        4403,
        "A key without the scope. Following needs `read`, sending orders needs `trade`.",
    )
    NO_SUCH_ORDER = (
        4404,
        "No such order, or no such path. A frame before it says which, and what is served.",
    )
    TOO_SLOW = 4408, "You read too slowly. Connect again, and go on from what you have."
    TOO_MUCH = (
        4429,
        "More than 200 frames in a second, of which those with a new `requestId` are not counted;"
        " more than 200 open orders on one socket that enters orders; or too many sockets or"
        " streams of quotes. A frame before it says which.",
    )
