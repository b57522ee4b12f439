/** The ticket's middle: the venues' offers, how old they are, and what the order would bring. */

import { $, el, mark, say, write } from "./dom.js";
import { amount, bps, exact, number, percent, price } from "./format.js";
import { allIn, impactText, isExactOut, marketOf, rowsOf, whyOf } from "./offers.js";
import { words } from "./words.js";

export const OLD = 5_000; // milliseconds, after which an offer is grey
const text = words.ticket;

export class Offers {
  constructor(page) {
    Object.assign(this, { page, place: $("#offers"), rows: new Map(), at: null });
    setInterval(() => this.drawAge(), 500);
    this.bones();
  }

  /** Show rows of the same size before the first answer, so that nothing jumps. */
  bones() {
    for (const [name, label] of Object.entries(this.page.venues)) {
      this.draw([{ key: name, label, net: "000.0000", unit: "", delta: "", small: "00.0000 all in", state: "asked", share: 0 }], true);
    }
  }

  /** Show an answer. `told` is what the preview tells. */
  show({ order, offer, at, answer, rests }) {
    this.at = at;
    write($("#offers-title").firstElementChild, rests ? text.offersIfNow : text.offersNow);
    this.drawAge();
    if (!offer) return;
    const asked = { ...order, tokenIn: offer.tokenIn, tokenOut: offer.tokenOut, amountOut: offer.amountOut, amountIn: offer.amountIn };
    this.draw(rowsOf(asked, offer, this.page.venues));
    say($("#why"), offer.quote ? this.why(asked, offer, answer, rests) : noRoute(offer, order));
    mark($("#why"), "data-state", offer.quote ? null : "out");
    this.drawTerms(asked, offer, answer, rests);
  }

  why(asked, offer, answer, rests) {
    if (!rests) return whyOf(asked, offer, this.page.venues);
    return answer?.orders ? answer.orders.map(({ summary }) => summary).join(" ") : (answer?.summary ?? "");
  }

  /** Nothing is asked: no amount, or one that cannot be read. */
  clear(why) {
    this.at = null;
    this.drawAge();
    say($("#why"), why);
    mark($("#why"), "data-state", null);
    for (const row of this.rows.values()) {
      mark(row, "data-state", "asked");
      write($(".net", row), "–");
      for (const part of [".unit", ".delta", "small"]) write($(part, row), part === "small" ? "\u00a0" : "");
    }
    for (const part of ["bound", "price", "fee"]) write($(`.terms [data-part=${part}]`), "–");
  }

  draw(rows, isBone = false) {
    if (!isBone) for (const [key, row] of this.rows) if (!rows.some((one) => one.key === key)) this.remove(key, row);
    rows.forEach((row, at) => this.drawRow(row, isBone ? null : at, isBone));
  }

  remove(key, row) {
    row.remove();
    this.rows.delete(key);
  }

  drawRow({ key, label, net, exact: whole, unit, delta, small, title, state, share }, at, isBone) {
    const row = this.rows.get(key) ?? this.newRow(key);
    if (at !== null && this.place.children[at] !== row) this.place.insertBefore(row, this.place.children[at] ?? null);
    mark(row, "data-state", state);
    mark(row, "data-key", key);
    write($("b", row), label);
    write($(".net", row), net);
    mark($(".net", row), "title", whole && !isBone ? exact(whole) : null);
    write($(".unit", row), unit);
    write($(".delta", row), delta);
    write($("small", row), small);
    mark($("small", row), "title", title ?? null);
    for (const part of [".net", "small"]) $(part, row).classList.toggle("skeleton", isBone);
    $("i", row).style.setProperty("--share", `${share}%`);
  }

  newRow(key) {
    const row = el("li", {}, el("b"), el("span", { class: "net" }), el("span", { class: "unit" }), el("span", { class: "delta" }), el("i"), el("small"));
    this.rows.set(key, row);
    this.place.append(row);
    return row;
  }

  drawTerms(order, offer, answer, rests) {
    const set = (name, shown, title) => {
      const place = $(`.terms [data-part=${name}]`);
      write(place, shown);
      mark(place, "title", title ?? null);
    };
    const isOut = isExactOut(order);
    const source = rests && (answer?.minAmountOut || answer?.maxAmountIn) ? answer : rests ? {} : offer;
    const bound = source.minAmountOut ?? source.maxAmountIn;
    const token = isOut ? offer.tokenIn : offer.tokenOut;
    set("bound", bound ? `${isOut ? text.bound.most("") : ""}${amount(bound, token)} ${token}` : "–", bound && exact(bound));
    write($("#price-term"), rests ? text.distance : text.priceAllIn);
    if (rests) set("price", distanceText(answer));
    else set("price", offer.quote ? price(allIn(order, offer.quote), marketOf(order)) : "–");
    const { feeBps, priceImpactBps } = offer.quote ?? {};
    set("fee", offer.quote ? text.feeAndImpact(`${number(feeBps, 0)} bps`, impactText(priceImpactBps) || "–") : "–");
  }

  drawAge() {
    const place = $("#age");
    const age = this.at === null ? null : Date.now() - this.at;
    const isOld = age !== null && age > OLD;
    place.classList.toggle("old", isOld);
    $("i", place).hidden = age === null;
    this.place.classList.toggle("old", isOld);
    const seconds = Math.floor((age ?? 0) / 1000);
    write($("span", place), age === null ? "" : isOld ? text.old(seconds) : text.ago(seconds));
  }
}

function distanceText(answer) {
  const told = answer?.orders ?? [answer ?? {}];
  const parts = told.map(({ distanceBps, wouldTrigger, trailBps }) => {
    if (trailBps) return percent(trailBps);
    if (wouldTrigger) return text.reached;
    if (distanceBps === null || distanceBps === undefined) return "–";
    return text.far(Number(distanceBps) < 1000 || told.length > 1 ? bps(distanceBps) : percent(distanceBps, 1));
  });
  return parts.length > 1 ? parts.map((part) => part.replace(/ .*/, "")).join(" · ") + " bps" : parts[0];
}

function noRoute({ failureCode }, order) {
  const say = text.noRoute[failureCode] ?? text.noRoute.any;
  return typeof say === "function" ? say(percent(order.maxPriceImpactBps ?? 500)) : say;
}
