"""What docs/ has for pages works in a browser."""

from playwright.sync_api import Page

from config.environment.data_folder import PROJECT
from tests.browser.chromium import Complaints
from tests.docs.test_guides import blocks
from tests.support.accounts import make_account
from tests.support.engine import SELL, Engine, Web

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


STATUSES = ("pending", "routing", "building", "submitted", "confirmed")
WHOLE_LOG = [[number, status] for number, status in enumerate(STATUSES, start=1)]
PROGRAMS = blocks(PROJECT / "docs/sockets.md", "js")
ACCOUNT_FOLLOWED = """async ([key, order]) => {
  %s
  const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
  const post = async (path, body) =>
    (await fetch(path, { method: "POST", headers, body: JSON.stringify(body) })).json();
  let tickets = 0;
  const newTicket = async () => {
    tickets += 1;
    return (await post("/api/ws-tickets", {})).ticket;
  };
  const { cursor } = await (await fetch("/api/events", { headers })).json();
  await post("/api/orders/execute", order);
  return new Promise((done) => {
    const seen = [];
    const onEvent = ({ seq, status }) => {
      seen.push([seq, status]);
      if (status === "confirmed") done([seen, tickets]);
    };
    follow(location.origin, newTicket, onEvent, cursor);
  });
}"""


def test_the_example_of_a_page_follows_an_account_by_tickets(
    page: Page, web: Web, running: Engine, complaints: Complaints
) -> None:
    program, _ = PROGRAMS
    page.goto("/")
    key = make_account(running.conninfo).key
    seen, tickets = page.evaluate(ACCOUNT_FOLLOWED % program, [key, SELL])

    assert (seen, tickets) == (WHOLE_LOG, 1)


def test_the_example_in_javascript_follows_an_order_to_its_end(
    page: Page, web: Web, complaints: Complaints
) -> None:
    _, program = PROGRAMS
    page.goto("/")
    seen = page.evaluate(FOLLOWED % program, web.post())

    assert seen == WHOLE_LOG
