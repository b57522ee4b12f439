"""A key in a file: refused if others may read it, and never shown."""

import copy
import json
import logging
import os
import pickle
import traceback
from pathlib import Path

import pytest
from solders.keypair import Keypair
from solders.signature import Signature

from routing.solana.wallet.key_file import KeyInFile, UnusableKey

KEYPAIR = Keypair.from_seed(bytes(range(100, 132)))
NUMBERS = list(bytes(KEYPAIR))


def key_file(folder: Path, content: str | None = None, mode: int = 0o600) -> Path:
    path = folder / "key.json"
    path.write_text(json.dumps(NUMBERS) if content is None else content)
    path.chmod(mode)
    return path


async def test_a_key_file_signs_for_its_wallet(tmp_path: Path) -> None:
    key = KeyInFile(key_file(tmp_path))
    signature = Signature(await key.sign(b"a message"))

    assert key.wallet == KEYPAIR.pubkey()
    assert signature.verify(key.wallet, b"a message")
    await key.close()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o620, 0o601, 0o777])
def test_a_key_that_others_may_use_is_refused_with_what_to_do(mode: int, tmp_path: Path) -> None:
    path = key_file(tmp_path, mode=mode)

    with pytest.raises(UnusableKey, match=rf"mode {mode:04o}\): chmod 600 {path}"):
        KeyInFile(path)


def test_a_link_to_an_open_file_is_refused_too(tmp_path: Path) -> None:
    link = tmp_path / "link.json"
    link.symlink_to(key_file(tmp_path, mode=0o644))

    with pytest.raises(UnusableKey, match="may be used by others"):
        KeyInFile(link)


@pytest.mark.parametrize("mode", [0o400, 0o600, 0o700])
def test_a_key_of_its_owner_alone_is_taken(mode: int, tmp_path: Path) -> None:
    assert KeyInFile(key_file(tmp_path, mode=mode)).wallet == KEYPAIR.pubkey()


SECRET = str(NUMBERS[5:9])[1:-1]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        json.dumps(NUMBERS[:63]),
        json.dumps([*NUMBERS, 1]),
        json.dumps([*NUMBERS[:63], 256]),
        json.dumps([*NUMBERS[:63], -1]),
        json.dumps([*NUMBERS[:63], str(NUMBERS[63])]),
        json.dumps([*NUMBERS[:63], True]),
        json.dumps([*NUMBERS[:63], (NUMBERS[63] + 1) % 256]),
        json.dumps([*NUMBERS[:40]]) + " and more",
        str(KEYPAIR),
        " " * 5_000 + json.dumps(NUMBERS),
        "\udcff".encode("utf-8", "surrogateescape").decode("latin-1"),
    ],
)
def test_a_file_that_is_no_key_is_refused_and_nothing_of_it_is_told(
    content: str, tmp_path: Path
) -> None:
    with pytest.raises(UnusableKey) as raised:
        KeyInFile(key_file(tmp_path, content))

    shown = "".join(traceback.format_exception(raised.value))
    assert SECRET not in shown
    assert str(KEYPAIR)[:20] not in shown
    assert raised.value.__cause__ is None


@pytest.mark.parametrize("numbers", [NUMBERS[:63], [*NUMBERS, 1], {"key": 1}, 5])
def test_a_list_of_another_length_is_told_as_that(numbers: object, tmp_path: Path) -> None:
    with pytest.raises(UnusableKey, match="is no JSON list of 64 numbers"):
        KeyInFile(key_file(tmp_path, json.dumps(numbers)))


def test_a_key_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = key_file(tmp_path)
    if os.geteuid() == 0:
        os.chown(path, 4_242, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 4_242)

    with pytest.raises(UnusableKey, match="belongs to another user"):
        KeyInFile(path)


def test_what_is_no_file_or_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnusableKey, match="cannot be read: No such file"):
        KeyInFile(tmp_path / "none.json")
    with pytest.raises(UnusableKey, match="cannot be read: Is a directory"):
        KeyInFile(tmp_path)
    with pytest.raises(UnusableKey, match="is no file"):
        KeyInFile(Path(os.devnull))


def test_nothing_shows_or_copies_the_key(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    key = KeyInFile(key_file(tmp_path))
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("test").warning("%r %s", key, key)

    shown = [repr(key), str(key), f"{key}", caplog.text]
    assert all(str(KEYPAIR) not in text and SECRET not in text for text in shown)
    assert repr(key) == f"KeyInFile(wallet={KEYPAIR.pubkey()})"
    assert not hasattr(key, "__dict__")
    for copied in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="not copied or stored"):
            copied(key)
