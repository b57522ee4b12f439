"""A signer by URL: what it is asked, and what its faults become."""

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from solders.keypair import Keypair
from solders.signature import Signature

from routing.solana.wallet.remote import RemoteSigner, UnusableSigner
from routing.solana.wallet.signer import SignerUnavailable

KEYPAIR = Keypair()
TOKEN = "a-token-that-nobody-sees"

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(answer: Answer) -> AsyncIterator[str]:
    """Serve one answer to every request, on a free port."""
    app = web.Application()
    app.router.add_post("/sign", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.01)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/sign"
    finally:
        await runner.cleanup()


async def test_it_asks_for_the_signature_of_the_message() -> None:
    asked: list[Any] = []

    async def sign(request: web.Request) -> web.Response:
        body = await request.json()
        asked.append((body, request.headers["authorization"]))
        signature = KEYPAIR.sign_message(base64.b64decode(body["message"]))
        return web.json_response({"signature": base64.b64encode(bytes(signature)).decode()})

    async with serving(sign) as url:
        signer = RemoteSigner(url, KEYPAIR.pubkey(), token=TOKEN)
        signatures = [Signature(await signer.sign(b"a message")) for _ in range(2)]
        await signer.close()
        signatures.append(Signature(await signer.sign(b"a message")))  # it opens a new connection
        await signer.close()

    assert all(one.verify(KEYPAIR.pubkey(), b"a message") for one in signatures)
    body = {"wallet": str(KEYPAIR.pubkey()), "message": base64.b64encode(b"a message").decode()}
    assert asked == [(body, f"Bearer {TOKEN}")] * 3


def answering(text: str, status: int = 200, **headers: str) -> Answer:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=text, status=status, headers=headers)

    return answer


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (answering("no", 403), "the signer refused: HTTP 403"),
        (answering("", 302, location="http://127.0.0.1:1/"), "the signer refused: HTTP 302"),
        (answering("{"), "the signer's answer has no signature"),
        (answering("[]"), "the signer's answer has no signature"),
        (answering("{}"), "the signer's answer has no signature"),
        (answering('{"signature": 5}'), "the signer's answer has no signature"),
        (answering('{"signature": "?"}'), "the signer's answer has no signature"),
        (answering("9" * 10**6), "the signer's answer has no signature"),
    ],
)
async def test_an_answer_without_a_signature_is_no_signature(answer: Answer, reason: str) -> None:
    async with serving(answer) as url:
        signer = RemoteSigner(url, KEYPAIR.pubkey(), token=TOKEN)
        with pytest.raises(SignerUnavailable, match=reason) as raised:
            await signer.sign(b"a message")
        await signer.close()

    assert TOKEN not in str(raised.value)


async def test_a_signer_that_is_slow_or_away_is_told_without_its_address() -> None:
    async def wait(request: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    async with serving(wait) as url:
        signer = RemoteSigner(url, KEYPAIR.pubkey(), seconds=0.05)
        with pytest.raises(SignerUnavailable, match="did not answer: TimeoutError"):
            await signer.sign(b"a message")
    with pytest.raises(SignerUnavailable, match="did not answer: ClientConnectorError") as raised:
        await signer.sign(b"a message")
    await signer.close()

    assert "127.0.0.1" not in str(raised.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://signer.example/sign",
        "ftp://signer.example",
        "signer.example",
        "https://",
        "https://user:secret@signer.example/",
        "",
    ],
)
def test_an_address_over_which_a_signature_could_be_asked_by_others_is_refused(url: str) -> None:
    with pytest.raises(UnusableSigner) as raised:
        RemoteSigner(url, KEYPAIR.pubkey())

    assert "secret" not in str(raised.value)


def test_nothing_shows_the_token() -> None:
    signer = RemoteSigner("https://signer.example/sign?k=s3", KEYPAIR.pubkey(), token=TOKEN)

    assert repr(signer) == f"RemoteSigner(wallet={KEYPAIR.pubkey()}, at=signer.example)"
