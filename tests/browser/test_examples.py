"""What docs/ has for pages works in a browser."""

from playwright.sync_api import Page

from config.environment.data_folder import PROJECT
from tests.browser.chromium import Complaints
from tests.docs.test_guides import blocks
from tests.support.engine import Web

FOLLOWED = """(orderId) => {
  %s
  return new Promise((done) => {
    const seen = [];
    follow(orderId, ({ seq, status }) => {
      seen.push([seq, status]);
      if (status === "confirmed") done(seen);
    });
  });
}"""


def test_the_example_in_javascript_follows_an_order_to_its_end(
    page: Page, web: Web, complaints: Complaints
) -> None:
    (program,) = blocks(PROJECT / "docs/sockets.md", "js")
    page.goto("/")
    seen = page.evaluate(FOLLOWED % program, web.post())

    assert seen == [
        [number, status]
        for number, status in enumerate(
            ("pending", "routing", "building", "submitted", "confirmed"), start=1
        )
    ]
