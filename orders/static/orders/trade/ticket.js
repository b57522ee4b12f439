/** The ticket: what to do, what it will bring, and who offers what, before anything is sent. */

import { $, say, write } from "./dom.js";
import { amount, exact, number } from "./format.js";
import { impactText, isExactOut } from "./offers.js";
import { Fields } from "./ticket-fields.js";
import { Offers } from "./ticket-offers.js";
import { Preview } from "./ticket-preview.js";
import { clearProblems, problemsOf, showProblems } from "./ticket-problems.js";
import { Sending } from "./ticket-send.js";
import { words } from "./words.js";

const text = words.ticket;
const FIVE = 5;
const TOO_OLD = 15_000; // milliseconds, after which an offer is asked for again before anything is sent
const NOTABLE = 100; // bps of price impact, from which the button tells it
const CONSENT = 500; // bps, from which it is asked for once

export const start = (desk) => new Ticket(desk);

class Ticket {
  constructor(desk) {
    this.desk = desk;
    this.form = $("#ticket");
    this.fields = new Fields(desk.page, this.form, (line) => desk.prices.of(this.fields?.market ?? "")[line]);
    this.offers = new Offers(desk.page);
    this.preview = new Preview((told) => this.told(told));
    this.sending = new Sending();
    Object.assign(this, { busy: false, waitUntil: 0, consented: null, last: null });
    this.fields.restore();
    this.listen();
    this.setKeys();
    Object.assign(desk.ticket, {
      fill: (order) => this.fill(order),
      focus: () => this.focus(),
      ask: () => this.preview.now(),
    });
    desk.market.set(this.fields.market);
    desk.market.subscribe((market) => this.marketChanged(market));
    for (const one of [desk.link, desk.engine, desk.me]) one.subscribe(() => this.drawButton());
    this.edited();
    setInterval(() => this.drawButton(), 1_000);
  }

  listen() {
    const { form } = this;
    form.addEventListener("input", (event) => this.input(event));
    form.addEventListener("change", (event) => this.change(event));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit(1);
    });
    form.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && event.repeat) event.preventDefault(); // a key that is held down is one press
    });
    $("#five").addEventListener("click", () => this.submit(FIVE));
    $("#swap").addEventListener("click", () => this.turn());
    this.desk.prices.subscribe((market) => {
      if (market !== this.fields.market) return;
      const before = this.fields.read().order;
      this.fields.fillPrices();
      if (JSON.stringify(before) !== JSON.stringify(this.fields.read().order)) this.edited();
    });
  }

  setKeys() {
    const { keys } = this.desk;
    keys.on("n", () => this.focus(), words.keys.amount);
    keys.on("b", () => this.choose("buy"), words.keys.sides, "B S");
    keys.on("s", () => this.choose("sell"));
    keys.on("x", () => this.turn(), words.keys.swap);
    keys.on("Enter", () => false, words.keys.send, "↵");
  }

  // What is filled in.

  input({ target }) {
    if (target.id === "amount-in") this.fix("amountIn");
    if (target.id === "amount-out") this.fix("amountOut");
    if (target.name !== "side" && target.name !== "type" && target.id !== "more") this.edited();
  }

  change({ target }) {
    if (target.name === "side") this.fields.sideChanged();
    else if (target.name === "type") {
      $("#more").value = "";
      this.fields.drawType();
    } else if (target.id === "more") {
      if (!target.value) return this.fields.chooseType("market"), this.edited();
      this.fields.drawType();
    } else return;
    this.edited();
  }

  fix(which) {
    if (this.fields.fixed === which) return;
    this.fields.fixed = which;
    $(which === "amountIn" ? "#amount-out" : "#amount-in").value = "";
  }

  choose(side) {
    this.fields.choose(side);
    this.edited();
  }

  turn() {
    this.fields.turn();
    this.edited();
  }

  focus() {
    const field = $(this.fields.fixed === "amountIn" ? "#amount-in" : "#amount-out");
    field.focus();
    field.select();
  }

  fill(order) {
    this.fields.fill(order);
    this.desk.market.set(this.fields.market);
    this.edited();
    this.focus();
  }

  marketChanged(market) {
    this.desk.prices.want("ticket", [market]);
    if (this.fields.market === market) return;
    this.fields.market = market;
    this.fields.resetPrices();
    this.edited();
  }

  /** Something changed: another order, to be asked about anew. */
  edited() {
    this.fields.draw();
    const { order, wrong } = this.fields.read();
    if (!this.sending.isPending(this.asSent(order))) this.sending.forget();
    this.fields.keep();
    this.last = null;
    this.desk.offer.set(null);
    const isEmpty = [...wrong.values()].every((word) => word === text.wrong.required);
    if (wrong.size && !isEmpty) showProblems(onlyTyped(wrong));
    else clearProblems();
    if (wrong.size) {
      this.preview.want(null);
      this.offers.clear(text.typeAmount);
      this.clearEstimate();
    } else {
      this.preview.want(order, this.fields.rules.rests || this.fields.rules.isSliced ? asMarket(order, this.desk.page) : null);
    }
    this.drawButton();
  }

  // What it would bring.

  told(told) {
    const { order, offer, problem } = told;
    const rests = Boolean(this.fields.rules.rests || this.fields.rules.isSliced);
    this.last = told;
    this.offers.show({ ...told, rests });
    if (problem && problem.status !== 429) showProblems(problemsOf(problem, order));
    else if (!this.isTold) clearProblems();
    if (offer?.quote) this.drawEstimate(offer);
    else this.clearEstimate();
    this.desk.offer.set(offer?.quote ? { order, answer: offer, at: told.at } : null);
    this.drawWarnings(told.answer);
    this.drawButton();
  }

  /** That a slippage is wide is news only to who chose it. */
  drawWarnings(answer) {
    const codes = new Set((answer?.orders ?? [answer ?? {}]).flatMap((one) => one.warnings ?? []));
    if (this.form.slip.value !== "own") codes.delete("wide_slippage");
    say($("#warnings"), [...codes].map((code) => text.warnings[code]).filter(Boolean).join(" "));
  }

  drawEstimate(offer) {
    const [id, value, token] = isExactOut(offer)
      ? ["#amount-in", offer.quote.amountIn, offer.tokenIn]
      : ["#amount-out", offer.quote.amountOut, offer.tokenOut];
    const field = $(id);
    if (document.activeElement === field && !field.readOnly) return;
    const shown = amount(value, token);
    if (field.value !== shown) field.value = shown;
    field.title = exact(value);
  }

  clearEstimate() {
    const field = $(this.fields.fixed === "amountIn" ? "#amount-out" : "#amount-in");
    if (document.activeElement !== field) field.value = "";
  }

  get impact() {
    return Number(this.last?.offer?.quote?.priceImpactBps ?? 0);
  }

  /** Whether the engine would refuse it for its price impact, unless it is told that this is meant. */
  get needsConsent() {
    return Boolean(this.last?.isBeyond) || this.impact >= CONSENT;
  }

  // The button.

  drawButton() {
    const button = $("#go");
    const { label, isOff } = this.button();
    write(button.firstElementChild, label);
    button.disabled = $("#five").disabled = Boolean(isOff);
    button.classList.toggle("costly", this.impact >= NOTABLE);
  }

  button() {
    const { desk } = this;
    const left = Math.ceil((this.waitUntil - Date.now()) / 1000);
    if (this.busy) return { label: text.sending, isOff: true };
    if (this.mustLogIn) return { label: text.logIn };
    if (desk.link.value.state === "offline") return { label: text.offline, isOff: true };
    if (left > 0) return { label: text.wait(left), isOff: true };
    if (desk.engine.value?.state === "halted") return { label: text.halted, isOff: true };
    if (this.sending.pending) return { label: text.again };
    return { label: this.verb() };
  }

  get mustLogIn() {
    const { account, mayTradeAnonymously } = this.desk.me.value;
    return !account && !mayTradeAnonymously;
  }

  verb() {
    const { base, pays, gets } = this.fields.tokens;
    const isIn = this.fields.fixed === "amountIn";
    const { order } = this.fields.read();
    const value = order[this.fields.fixed];
    const token = isIn ? pays : gets;
    const shown = `${value === undefined ? "…" : number(value, (value.split(".")[1] ?? "").length)} ${token}`;
    const label = token === base ? text.go(this.fields.side, shown) : text.goForAbout(this.fields.side, base, shown);
    return this.impact >= NOTABLE ? text.withImpact(label, impactText(this.impact)) : label;
  }

  // Sending.

  /** Return the order as it is sent: one whose impact was agreed to says so itself. */
  asSent(order) {
    if (this.consented?.text !== JSON.stringify(order)) return order;
    return { ...order, maxPriceImpactBps: this.consented.limit };
  }

  async submit(count) {
    if (this.busy || $("#go").disabled) return;
    if (this.mustLogIn) return this.logIn();
    const { order, wrong } = this.fields.read();
    if (wrong.size) return showProblems(wrong, { focus: true });
    this.busy = true;
    this.drawButton();
    try {
      if (!this.sending.pending && (!this.last || Date.now() - this.last.at > TOO_OLD)) await this.preview.now();
      if (!this.sending.pending && this.asksForConsent(order)) return;
      this.answered(await this.sending.send(this.asSent(order), count), order);
    } finally {
      this.busy = false;
      this.drawButton();
    }
  }

  /** Above 5 % ask once; the next press of the same ticket sends it, with the impact as its limit. */
  asksForConsent(order) {
    if (!this.needsConsent || order.maxPriceImpactBps !== undefined || this.fields.rules.rests) return false;
    const said = JSON.stringify(order);
    if (this.consented?.text === said && this.impact <= Number(this.consented.limit)) return false;
    const limit = String(Math.min(10_000, Math.ceil((this.impact * 1.1) / 50) * 50)); // some room, for prices move
    this.consented = { text: said, limit };
    this.isTold = true;
    showProblems(new Map([["ticket", text.consent(impactText(this.impact))]]));
    return true;
  }

  answered(answers, order) {
    const accepted = answers.filter(({ ok }) => ok).flatMap(({ body }) => body.orders ?? [body]);
    for (const one of accepted) {
      this.desk.orders.take(one);
      this.desk.follow(one.orderId);
    }
    const refused = answers.find(({ ok }) => !ok);
    this.isTold = Boolean(refused);
    if (refused) this.refused(refused, order);
    else {
      clearProblems();
      this.consented = null;
    }
    if (!accepted.length) return;
    this.desk.selected.set(accepted.at(-1).orderId);
    this.desk.announce(text.received(accepted.length));
  }

  refused(answer, order) {
    if (answer.retryAfter && (answer.status === 429 || answer.status === 503)) this.waitUntil = Date.now() + answer.retryAfter * 1000;
    showProblems(problemsOf(answer, order), { focus: true });
  }

  logIn() {
    this.fields.keep();
    location.assign(`/accounts/login/?next=${encodeURIComponent(location.pathname)}`);
  }
}

/** What the same amount would get now, for an order that waits. */
function asMarket({ side, baseToken, quoteToken, amountIn, amountOut, excludeVenues, maxPriceImpactBps }) {
  return { side, baseToken, quoteToken, amountIn, amountOut, excludeVenues, maxPriceImpactBps };
}

/** Of what cannot be read, only what was typed: an empty field is no fault before the press. */
function onlyTyped(wrong) {
  return new Map([...wrong].filter(([, word]) => word !== text.wrong.required));
}
