"""The page of one's own API keys, as a person sees it in Chromium."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.chromium import Complaints
from tests.browser.conftest import TOO_WIDE, keep_picture, log_in
from tests.support.engine import Engine, Web


@pytest.mark.parametrize("screen", ["laptop", "phone", "dark"])
def test_a_person_makes_a_key_and_revokes_it(
    screen: str, page: Page, complaints: Complaints, web: Web, running: Engine
) -> None:
    log_in(page, "/account/keys")
    page.get_by_label("Name", exact=True).fill("trading bot")
    page.get_by_label("trade").check()
    page.get_by_label("Only from these").fill("127.0.0.0/8 2001:db8::/48")
    page.get_by_label("Expires after days").fill("10")
    page.get_by_role("button", name="Make the key").click()
    secret = page.locator(".new-key").inner_text()
    answer = web.request("/api/orders", authorization=f"Bearer {secret}")

    assert answer.status == 200
    keep_picture(page, f"keys-made-{screen}")
    assert page.evaluate(TOO_WIDE) <= 0
    row = page.get_by_role("row").filter(has_text=secret[:17])
    row.get_by_role("button", name="Rotate").click()
    expect(page.locator(".new-key")).not_to_have_text(secret)
    row = page.get_by_role("row").filter(has=page.get_by_role("cell", name=f"{secret[:17]}…").first)
    row = row.filter(has_not_text="in the place of").last
    row.locator("summary").click()
    row.get_by_role("button", name="Revoke for ever").click()
    expect(page.get_by_role("status")).to_contain_text("is revoked")
    keep_picture(page, f"keys-{screen}")
    assert web.request("/api/orders", authorization=f"Bearer {secret}").status == 401
    assert page.evaluate(TOO_WIDE) <= 0
