/** One order as a row of the blotter: made once; then only the cells that changed are written. */

import { el, icon, mark, write } from "./dom.js";
import { bps, clock, seconds, shortId, utc } from "./format.js";
import { Stepper } from "./stepper.js";
import { gainsOf, isUnderWay, marketOf, tookOf } from "./way.js";
import { labelOf, priceOf, titleOf, tradeOf, venueOf } from "./wording.js";
import { words } from "./words.js";

const said = words.blotter;
const NOTHING = /^(–|[+−]?0(\.0)?)$/;

export class Row {
  constructor(order, desk) {
    Object.assign(this, { id: order.orderId, desk, stepper: new Stepper(), drawn: {} });
    const cell = (names, ...children) => el("td", { class: names }, ...children);
    Object.assign(this, {
      side: el("b"),
      main: el("span"),
      unit: el("span", { class: "unit" }),
      tags: el("span", { class: "tags" }),
      venue: cell("venue"),
      price: cell("num cell-price"),
      quote: cell("num"),
      other: cell("num"),
      took: cell("num took"),
      acts: cell("acts"),
    });
    const time = el("time", { text: clock(order.createdAt), datetime: order.createdAt, title: utc(order.createdAt) });
    this.element = el("tr", { tabindex: "-1", "data-id": this.id },
      cell("time", time), cell("what", this.side, " ", this.main, " ", this.unit, this.tags),
      cell("way", this.stepper.element), this.venue, this.price, this.quote, this.other, this.took, this.acts);
    this.draw();
  }

  get order() {
    return this.desk.orders.get(this.id);
  }

  /** Write what changed; `asOf` is a word for the rows while the line is lost. */
  draw(asOf = "") {
    const { order, desk } = this;
    if (!order) return;
    const now = Date.now();
    this.drawTrade(order);
    this.stepper.draw(order, desk.prices.of(marketOf(order)), desk.engine.value, asOf, now);
    write(this.venue, venueOf(order, desk.page.venues));
    write(this.price, priceOf(order));
    const gains = gainsOf(order);
    drawGain(this.quote, gains.quote);
    drawGain(this.other, gains.other);
    write(this.took, tookText(order, now));
    this.drawActs(order);
    mark(this.element, "aria-label", labelOf(order, this.stepper.word.textContent));
  }

  drawTrade(order) {
    const { sign, verb, main, unit } = tradeOf(order);
    mark(this.side, "class", `side-${order.side}`);
    write(this.side, `${sign} ${verb}`);
    write(this.main, main);
    write(this.unit, unit);
    const names = tagsOf(order);
    if (!this.changes("tags", names.join())) return;
    this.tags.replaceChildren(...names.map((text) => el("span", { class: "tag", text })));
  }

  /** Amend and cancel, where they are possible. */
  drawActs(order) {
    const can = { amend: order.status === "open", cancel: this.desk.page.cancellable.includes(order.status) };
    if (!this.changes("acts", `${can.amend}${can.cancel}`)) return;
    const button = (act, name, label, title) =>
      el("button", { class: "btn btn-quiet btn-icon btn-small", type: "button", tabindex: "-1", "data-act": act, "aria-label": label, title }, icon(name));
    this.acts.replaceChildren(
      ...(can.amend ? [button("amend", "pencil", said.amendOf(titleOf(order)), said.amendKey)] : []),
      ...(can.cancel ? [button("cancel", "cross", said.cancelOf(titleOf(order)), said.cancelKey)] : []),
    );
  }

  changes(name, value) {
    const isNew = this.drawn[name] !== value;
    this.drawn[name] = value;
    return isNew;
  }
}

function drawGain(cell, value) {
  const text = bps(value, { sign: true, unit: false });
  write(cell, text);
  mark(cell, "class", NOTHING.test(text) ? "num" : text.startsWith("−") ? "num down" : "num up");
}

/** Return the time that an order has taken; while it is under way, with one digit that keeps its place. */
export function tookText(order, now = Date.now()) {
  const took = tookOf(order, now);
  if (took === null) return "–";
  return isUnderWay(order) && took < 60_000 ? `${(Math.max(0, took) / 1000).toFixed(1)} s` : seconds(took);
}

function tagsOf(order) {
  const names = order.type && order.type !== "market" ? [words.type[order.type] ?? order.type] : [];
  if (order.slice !== undefined && order.slice !== null) names.push(said.slice(order.slice + 1));
  else if (order.parentOrderId) names.push(said.exitOf(shortId(order.parentOrderId)));
  if (order.groupId) names.push(said.group);
  if (order.takeProfit || order.stopLoss) names.push(said.bracket);
  return names;
}
