/** The market panel: the price, and what each venue nets for the ticket's amount. */

import { ask } from "./api.js";
import { $, all, frame, mark, write } from "./dom.js";
import { bps, exact, percent, price } from "./format.js";
import { words } from "./words.js";

const HOUR = 3_600;
const AGAIN = 60_000; // milliseconds until the price of an hour ago is asked for anew

export function start(desk) {
  const place = $("#market");
  const pick = $("#pick");
  const part = (name) => $(`[data-part=${name}]`, place);
  let before = null; // the market's price of an hour ago

  const draw = frame(() => {
    const market = desk.market.value;
    const { reference } = desk.prices.of(market);
    write(part("mid"), price(reference ?? null, market));
    mark(part("mid"), "title", exact(reference ?? null));
    drawChange(part("change"), reference, before);
    drawNets(place, desk);
  });
  const learnBefore = async () => {
    const market = desk.market.value;
    const from = new Date(Date.now() - HOUR * 1000).toISOString();
    const { ok, body } = await ask("GET", `/api/prices?${new URLSearchParams({ market, step: 60, from })}`);
    if (!ok || market !== desk.market.value) return;
    before = body.points.find(({ reference }) => reference)?.reference.first ?? null;
    draw();
  };

  pick.addEventListener("change", () => desk.market.set(pick.value));
  desk.keys.on("m", () => pick.focus(), words.keys.market);
  desk.market.subscribe((market) => {
    pick.value = market;
    before = null;
    desk.prices.want("market", [market]);
    draw();
    learnBefore();
  });
  desk.prices.subscribe((market) => market === desk.market.value && draw());
  desk.offer.subscribe(draw);
  setInterval(() => document.hidden || learnBefore(), AGAIN);
}

function drawChange(element, now, before) {
  const moved = now && before ? (Number(now) / Number(before) - 1) * 10_000 : null;
  write(element, moved === null ? "" : words.market.change(moved >= 0, percent(Math.abs(moved))));
  element.className = moved === null ? "" : moved >= 0 ? "up" : "down";
}

function drawNets(place, desk) {
  const market = desk.market.value;
  const nets = netsOf(desk);
  for (const element of all("[data-venue]", place)) {
    const net = nets.get(element.dataset.venue);
    write(element, price(net ?? null, market));
  }
  const values = [...nets.values()];
  const apart = values.length > 1 ? (Math.max(...values) / Math.min(...values) - 1) * 10_000 : null;
  write($("[data-part=apart]", place), bps(apart));
}

/** Return each venue's net price: for the ticket's amount, or without one for the least amount. */
export function netsOf({ market, offer, prices }) {
  const asked = offer.value;
  const isSale = asked?.answer.side !== "buy" && asked?.order.side !== "buy";
  if (asked?.answer.quotes && isOf(asked.answer, market.value)) {
    const nets = new Map();
    for (const { dex, amountIn, amountOut } of asked.answer.quotes) {
      const net = isSale ? amountOut / amountIn : amountIn / amountOut;
      if (!nets.has(dex)) nets.set(dex, net);
    }
    return nets;
  }
  const { venues = {} } = prices.of(market.value);
  const line = isSale ? "bid" : "ask";
  return new Map(Object.entries(venues).filter(([, one]) => one[line]).map(([name, one]) => [name, Number(one[line])]));
}

const isOf = ({ market }, name) => market === undefined || market === name;
