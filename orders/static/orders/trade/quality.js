/** How the reader's orders were executed in the last 24 hours: own orders of an account. */

import { ask } from "./api.js";
import { $, mark, write } from "./dom.js";
import { bps, exact, number, seconds } from "./format.js";
import { words } from "./words.js";

const PATH = "/api/analytics/execution-quality?window=24h&whose=mine";
const MEASURED = 4_000; // milliseconds after an order's end until it is counted
const AGAIN = 60_000;

export function start(desk) {
  const place = $("#quality");
  if (!desk.me.value.account) return;
  let timer = null;
  const read = async () => {
    timer = null;
    const { ok, body } = await ask("GET", PATH);
    if (ok) draw(place, body.total);
  };
  const soon = (wait) => (timer ??= setTimeout(read, wait));
  desk.orders.subscribe((order, event) => event && order && desk.orders.isFinal(order) && soon(MEASURED));
  setInterval(() => document.hidden || soon(0), AGAIN);
  read();
}

function draw(place, total) {
  const { vsOther, vsQuote, secondsToConfirm, confirmed, failed, confirmedPercent } = total;
  const show = (name, text, beside, { value = null, title = null } = {}) => {
    const row = $(`[data-part=${name}]`, place);
    write($("dd", row), text);
    write($(".unit", row), beside);
    mark($("dd", row), "class", value === null || Number(value) === 0 ? null : Number(value) > 0 ? "up" : "down");
    mark($(".unit", row), "title", title);
  };
  const later = words.quality.later;
  const isNone = confirmed === 0;
  const money = vsOther.amount === null ? "" : words.quality.money(number(vsOther.amount, 2));
  show("won", isNone ? later : bps(vsOther.bps, { sign: true }), money, { value: vsOther.bps, title: exact(vsOther.amount) });
  const spread = vsQuote.p5Bps === null ? "" : words.quality.p5(bps(vsQuote.p5Bps, { unit: false }));
  show("fill", isNone ? later : bps(vsQuote.bps, { sign: true }), spread);
  const share = confirmedPercent === null ? later : `${number(confirmedPercent, 1)} %`;
  show("confirmed", share, confirmedPercent === null ? "" : words.quality.of(number(confirmed, 0), number(confirmed + failed, 0)));
  const { p50, p95 } = secondsToConfirm;
  show("time", p50 === null ? later : seconds(p50 * 1000), p95 === null ? "" : words.quality.p95(seconds(p95 * 1000)));
}
