"""How an answer is written to its connection; tests/processes/test_connections.py has the rest."""

from config.http.connection import OnePiece

HEAD, BODY = b"HTTP/1.1 201 Created\r\n\r\n", b"{}"
GO_ON = b"HTTP/1.1 100 Continue\r\n\r\n"


class Transport:
    """Keeps what is written to it, each write by itself."""

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def writelines(self, pieces: tuple[bytes, ...]) -> None:
        self.written.append(b"".join(pieces))

    def is_closing(self) -> bool:
        return False

    def close(self) -> None:
        self.written.append(b"closed")


def written(*pieces: bytes, is_closed: bool = False) -> list[bytes]:
    transport = Transport()
    answer = OnePiece(transport)
    for piece in pieces:
        answer.write(piece)
    assert not answer.is_closing()
    if is_closed:
        answer.close()
    return transport.written


def test_head_and_body_leave_in_one_write() -> None:
    assert written(HEAD, BODY) == [HEAD + BODY]


def test_what_follows_the_first_piece_leaves_at_once() -> None:
    assert written(HEAD, BODY, b"", HEAD, BODY) == [HEAD + BODY, b"", HEAD, BODY]


def test_an_answer_of_nothing_has_its_head() -> None:
    assert written(HEAD, b"") == [HEAD]


def test_a_client_that_waits_to_go_on_is_told_at_once() -> None:
    assert written(GO_ON) == [GO_ON]
    assert written(GO_ON, HEAD, BODY) == [GO_ON, HEAD + BODY]


def test_an_answer_that_breaks_off_leaves_its_head_before_the_connection_closes() -> None:
    assert written(HEAD, is_closed=True) == [HEAD, b"closed"]
    assert written(HEAD, BODY, is_closed=True) == [HEAD + BODY, b"closed"]
