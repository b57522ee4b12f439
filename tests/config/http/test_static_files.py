"""Static files: kept by browsers while they are the same, and sent compressed."""

import gzip
from pathlib import Path
from typing import Any

import pytest
from django.contrib.staticfiles import finders

from config.http.static_version import static_version
from tests.support.client import get

CSS = "orders/tokens.css"
VERSIONED = "/static/v-0123456789ab/"


def on_disk(name: str) -> bytes:
    path = finders.find(name)
    assert isinstance(path, str)
    return Path(path).read_bytes()


async def test_a_file_of_this_state_is_kept_by_browsers(settings: Any) -> None:
    settings.STATIC_URL = VERSIONED
    file = await get(VERSIONED + CSS)

    assert file.body == on_disk(CSS)
    assert file.headers["cache-control"] == "public, max-age=31536000, immutable"


@pytest.mark.parametrize("base", ["/static/", "/static/v-ba9876543210/"])
async def test_a_file_of_another_state_is_served_and_asked_for_each_time(
    base: str, settings: Any
) -> None:
    settings.STATIC_URL = VERSIONED
    file = await get(base + CSS)

    assert file.body == on_disk(CSS)
    assert file.headers["cache-control"] == "no-cache"
    again = await get(base + CSS, if_modified_since=file.headers["last-modified"])
    assert again.status == 304


async def test_texts_are_compressed_for_those_who_take_them_so() -> None:
    plain, packed = await get(f"/static/{CSS}"), await get(f"/static/{CSS}", accept_encoding="gzip")

    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.headers["content-length"] == str(len(packed.body))
    assert packed.headers["content-type"] == plain.headers["content-type"]
    assert packed.headers["x-content-type-options"] == "nosniff"
    assert "Accept-Encoding" in plain.headers["vary"]
    assert gzip.decompress(packed.body) == plain.body
    assert len(packed.body) < len(plain.body) / 2


async def test_small_texts_and_pictures_are_sent_as_they_are() -> None:
    for name in ("orders/live.svg", "drf_spectacular_sidecar/swagger-ui-dist/favicon-32x32.png"):
        file = await get(f"/static/{name}", accept_encoding="gzip, br")
        assert (file.status, "content-encoding" in file.headers) == (200, False)


def test_another_byte_makes_another_state(tmp_path: Path) -> None:
    (tmp_path / "a.css").write_text("a")
    before = static_version([tmp_path])
    assert static_version([tmp_path]) == before
    (tmp_path / "a.css").write_text("b")
    assert static_version([tmp_path]) != before
