/** Starts all panels of the trading page, and hands each of them the same desk. */

import { ask } from "./api.js";
import { $ } from "./dom.js";
import { learn, zone } from "./format.js";
import { Keys } from "./keys.js";
import { Link } from "./link.js";
import { Orders } from "./orders.js";
import { Prices } from "./prices.js";
import { signal } from "./signal.js";
import { words } from "./words.js";
import { announcer } from "./announcer.js";
import { start as startBanner } from "./banner.js";
import { start as startTheme } from "./themes.js";
import { start as startTicket } from "./ticket.js";
import { start as startVitals } from "./vitals.js";
import { start as startMarket } from "./market.js";
import { start as startQuality } from "./quality.js";
import { start as startChart } from "./chart.js";
import { start as startBlotter } from "./blotter.js";
import { start as startDrawer } from "./drawer.js";
import { start as startTitle } from "./title.js";
import { start as startTabs } from "./tabs.js";

const { me, ...page } = JSON.parse($("#facts").textContent);
learn(page);
const orders = new Orders(page.final);
const link = new Link(orders, me.account);

/** What every panel has; trade-shape in docs/architecture.md. */
const desk = {
  page,
  orders,
  link: link.state,
  retry: () => link.again(),
  follow: (id) => link.follow(id),
  prices: new Prices(),
  keys: new Keys(),
  me: signal(me),
  engine: signal(null),
  market: signal(page.defaultMarket),
  offer: signal(null),
  selected: signal(null),
  ticket: {},
  announce: announcer($("#announcer")),
  act: {
    cancel: (id, body) => ask("POST", `/api/orders/${id}/cancel`, { body: body ?? {} }),
    amend: (id, seq, changes) => ask("PATCH", `/api/orders/${id}`, { body: { seq, ...changes } }),
  },
};

$("#zone").textContent = words.page.zone(zone());
for (const start of [
  startTheme, startBanner, startTicket, startVitals, startMarket, startQuality, startChart,
  startBlotter, startDrawer, startTitle, startTabs,
]) {
  start(desk);
}
