/** The fields of the ticket: which there are for a type, what is read of them, and what is kept of them over a log-in. */

import { $, all, el, write } from "./dom.js";
import { readNumber } from "./format.js";
import { keep, read } from "./storage.js";
import { EXITS, TYPES, bpsOf, hasSlippage, isTrail, place } from "./ticket-types.js";
import { placeOf } from "./ticket-problems.js";
import { words } from "./words.js";

const text = words.ticket;
const KEPT = "ticket";
const MOST_SLICES = 1_000;

export class Fields {
  /** `now(line)` returns the price of the ticket's market on a line. */
  constructor(page, form, now) {
    Object.assign(this, { page, form, now, fixed: "amountIn", typedPrices: new Set(), market: page.defaultMarket });
    this.drawType();
  }

  get side() {
    return this.form.side.value;
  }

  get type() {
    return $("#more").value || this.form.type.value;
  }

  get rules() {
    return TYPES[this.type];
  }

  get tokens() {
    const [base, quote] = this.market.split("/");
    return this.side === "sell" ? { base, quote, pays: base, gets: quote } : { base, quote, pays: quote, gets: base };
  }

  // Drawing.

  /** Put the fields of the chosen type there; prices that were typed for another one would mislead. */
  drawType() {
    const { fields, canExit, rests, slippage } = this.rules;
    this.typedPrices.clear();
    $("#prices").replaceChildren(...fields.map((field) => this.newField(field)));
    $("#prices").hidden = !fields.length;
    $("#exit-prices").replaceChildren(...(canExit ? EXITS : []).map((field) => this.newField(field)));
    $("#exits").hidden = !canExit;
    if (!canExit) $("#exits").open = false;
    $("#till-line").hidden = !rests;
    if (this.rules.onlyIn) this.fixed = "amountIn";
    $("#amount-out").readOnly = Boolean(this.rules.onlyIn);
    $("#more").toggleAttribute("data-chosen", Boolean($("#more").value));
    for (const radio of this.form.elements.type) if ($("#more").value) radio.checked = false;
    if (slippage) this.drawSlippage(slippage);
  }

  newField({ name, kind, label = name, preset = "", isOptional }) {
    const id = placeOf(name);
    const field = kind === "interval"
      ? el("select", { id, "data-name": name }, ...Object.entries(text.intervals).map(([value, shown]) => el("option", { value, text: shown, selected: value === preset })))
      : el("input", { id, "data-name": name, inputmode: kind === "count" ? "numeric" : "decimal", autocomplete: "off", value: preset, "aria-describedby": `${id}-error`, placeholder: isOptional ? "–" : null });
    if (kind === "price") field.addEventListener("input", () => this.typedPrices.add(name));
    return el("div", { class: "price" }, el("label", { for: id, text: text.fields[label] }), field,
      el("span", { class: "unit", "data-unit": kind }), el("p", { class: "error", id: `${id}-error`, hidden: true }));
  }

  drawSlippage(steps) {
    const radios = all("[name=slip]").filter(({ value }) => value !== "own");
    const before = $("[name=slip]:checked").value;
    steps.forEach((bps, at) => {
      if (radios[at].value === String(bps)) return;
      radios[at].value = bps;
      write(radios[at].nextElementSibling, `${bps / 100} %`);
    });
    if (before !== "own" && !steps.includes(Number(before))) radios.at(-1).checked = true;
  }

  /** Write what follows from the choice: tokens, units, which amount is fixed. */
  draw() {
    const { base, quote, pays, gets } = this.tokens;
    const isFixedIn = this.fixed === "amountIn";
    this.form.dataset.side = this.side;
    write($("#amount-in-unit"), pays);
    write($("#amount-out-unit"), gets);
    write($("[for=amount-in]"), isFixedIn ? text.pay.fixed : text.pay.about);
    write($("[for=amount-out]"), isFixedIn ? text.get.about : text.get.fixed);
    $("[data-field=amountIn]").classList.toggle("is-estimate", !isFixedIn);
    $("[data-field=amountOut]").classList.toggle("is-estimate", isFixedIn);
    for (const unit of all("[data-unit=price]", this.form)) {
      write(unit, text.units.price(quote));
      unit.title = text.units.perBase(quote, base);
    }
    for (const unit of all("[data-unit=percent]", this.form)) write(unit, text.units.percent);
    $("#tolerance").hidden = !hasSlippage(this.type, this.values());
    $("#own").hidden = this.form.slip.value !== "own";
    write($("#limits-say"), this.limitsText());
    write($("#exits-say"), this.exitsText());
    this.fillPrices();
  }

  /** Fill prices in near the market's as long as nothing was typed there. */
  fillPrices() {
    const near = Number(this.now(this.side === "sell" ? "bid" : "ask"));
    if (!near) return;
    for (const { name, near: away, kind } of this.rules.fields) {
      const field = document.getElementById(placeOf(name));
      if (kind !== "price" || away === undefined || this.typedPrices.has(name) || field.value) continue;
      const better = this.side === "sell" ? 1 : -1;
      const value = near * (1 + (away / 1e4) * better);
      field.value = Number(value.toPrecision(value >= 1000 ? 6 : 5));
    }
  }

  limitsText() {
    const names = all("[name=venue]", this.form);
    const left = names.filter(({ checked }) => checked).map(({ value }) => this.page.venues[value]);
    const impact = $("#impact").value.trim();
    const parts = [left.length < names.length && text.onlyVenues(left), impact && text.impactAtMost(`${impact} %`)].filter(Boolean);
    return parts.length ? text.someRoute(parts) : text.anyRoute;
  }

  exitsText() {
    const values = this.values();
    const parts = [values["takeProfit.limitPrice"] && `${text.target} ${values["takeProfit.limitPrice"]}`, values["stopLoss.triggerPrice"] && `${text.stopped} ${values["stopLoss.triggerPrice"]}`];
    return text.withExits(parts.filter(Boolean)) || text.noExits;
  }

  values() {
    return Object.fromEntries(all("[data-name]", this.form).map((field) => [field.dataset.name, field.value.trim()]));
  }

  // Reading.

  /** Return `{order, wrong}`: what the API is sent, and texts by the ids of fields that cannot be read. `isSoft`: what is empty is no fault yet. */
  read() {
    const { base, quote } = this.tokens;
    const wrong = new Map();
    const order = { side: this.side, baseToken: base, quoteToken: quote };
    if (this.type !== "market") order.type = this.type;
    this.readAmount(order, wrong);
    for (const field of [...this.rules.fields, ...(this.rules.canExit ? EXITS : [])]) this.readField(field, order, wrong);
    if (hasSlippage(this.type, this.values())) this.readSlippage(order, wrong);
    this.readLimits(order, wrong);
    if (this.rules.rests && $("#till").value) order.expiresInSeconds = $("#till").value;
    return { order, wrong };
  }

  readAmount(order, wrong) {
    const id = this.fixed === "amountIn" ? "amount-in" : "amount-out";
    const token = this.fixed === "amountIn" ? this.tokens.pays : this.tokens.gets;
    const { decimals = 9 } = this.page.tokens.find(({ symbol }) => symbol === token) ?? {};
    const value = this.number(id, wrong);
    if (value === null) return;
    if (!(Number(value) > 0)) wrong.set(id, text.wrong.zero);
    else if ((value.split(".")[1] ?? "").length > decimals) wrong.set(id, text.wrong.too_precise(token, decimals));
    order[this.fixed] = value;
  }

  readField({ name, kind, isOptional }, order, wrong) {
    const id = placeOf(name);
    const field = document.getElementById(id);
    if (!field || (isOptional && !field.value.trim())) return;
    if (kind === "interval") return place(order, name, field.value);
    const value = this.number(id, wrong);
    if (value === null) return;
    if (kind === "price" && !(Number(value) > 0)) wrong.set(id, text.wrong.zero);
    if (kind === "count" && !(Number.isInteger(Number(value)) && Number(value) >= 2 && Number(value) <= MOST_SLICES)) wrong.set(id, text.wrong.out_of_range());
    if (kind !== "percent") return place(order, name, value);
    const bps = bpsOf(value);
    if (bps === null || !isTrail(bps)) wrong.set(id, text.wrong.trail_step);
    else place(order, name, String(bps));
  }

  readSlippage(order, wrong) {
    const chosen = this.form.slip.value;
    if (chosen !== "own") return void (order.slippageBps = chosen);
    this.readPercent("slippage", "slippageBps", this.page.maxSlippageBps, order, wrong);
  }

  readLimits(order, wrong) {
    const venues = all("[name=venue]", this.form);
    const unwanted = venues.filter(({ checked }) => !checked).map(({ value }) => value);
    if (unwanted.length === venues.length) wrong.set("venues", text.wrong.no_venue);
    else if (unwanted.length) order.excludeVenues = unwanted;
    if ($("#impact").value.trim()) this.readPercent("impact", "maxPriceImpactBps", 10_000, order, wrong);
  }

  readPercent(id, name, most, order, wrong) {
    const value = this.number(id, wrong);
    if (value === null) return;
    const bps = bpsOf(value);
    if (bps === null) wrong.set(id, text.wrong.too_precise_any);
    else if (bps > most) wrong.set(id, text.wrong.out_of_range(`${most / 100} %`));
    else order[name] = String(bps);
  }

  number(id, wrong) {
    const typed = document.getElementById(id).value.trim().replace(/\s*%$/, "");
    const value = readNumber(typed);
    if (value === null) wrong.set(id, typed ? text.wrong.invalid_number : text.wrong.required);
    return value;
  }

  // Changing.

  /** Choose a side; the amount stays with its token: "sell 1.5 SOL" becomes "buy 1.5 SOL". */
  choose(side) {
    if (this.side === side) return;
    this.form.side.value = side;
    this.sideChanged();
  }

  sideChanged() {
    const typed = $(this.fixed === "amountIn" ? "#amount-in" : "#amount-out").value;
    const isOnlyIn = this.rules.onlyIn;
    this.fixed = this.fixed === "amountIn" && !isOnlyIn ? "amountOut" : "amountIn";
    $("#amount-in").value = $("#amount-out").value = "";
    if (!isOnlyIn) $(this.fixed === "amountIn" ? "#amount-in" : "#amount-out").value = typed;
    this.resetPrices();
  }

  /** Turn the order round: pay what it would have brought. */
  turn() {
    const gets = $("#amount-out").value;
    this.form.side.value = this.side === "sell" ? "buy" : "sell";
    this.fixed = "amountIn";
    $("#amount-in").value = gets;
    $("#amount-out").value = "";
    this.resetPrices();
  }

  resetPrices() {
    this.typedPrices.clear();
    for (const { name, kind } of this.rules.fields) if (kind === "price") document.getElementById(placeOf(name)).value = "";
  }

  chooseType(type) {
    const radio = [...this.form.elements.type].find(({ value }) => value === type);
    if (radio) {
      radio.checked = true;
      $("#more").value = "";
    } else {
      $("#more").value = type;
    }
    this.drawType();
  }

  /** Fill in an order as the API shows it. */
  fill(order) {
    this.market = `${order.baseToken}/${order.quoteToken}`;
    this.form.side.value = order.side;
    this.chooseType(TYPES[order.type] ? order.type : "market");
    this.fixed = order.amountIn !== null && order.amountIn !== undefined ? "amountIn" : "amountOut";
    $("#amount-in").value = this.fixed === "amountIn" ? order.amountIn : "";
    $("#amount-out").value = this.fixed === "amountOut" ? order.amountOut : "";
    const inside = (name) => name.split(".").reduce((part, one) => part?.[one], order);
    for (const field of all("[data-name]", this.form)) {
      const value = inside(field.dataset.name);
      if (value === undefined || value === null) continue;
      field.value = field.dataset.name === "trailBps" ? Number(value) / 100 : value;
      this.typedPrices.add(field.dataset.name);
    }
    this.fillLimits(order);
  }

  fillLimits({ slippageBps, excludeVenues = [], venues, maxPriceImpactBps }) {
    for (const box of all("[name=venue]", this.form)) box.checked = !excludeVenues.includes(box.value) && (!venues || venues.includes(box.value));
    $("#impact").value = maxPriceImpactBps === undefined || maxPriceImpactBps === null ? "" : Number(maxPriceImpactBps) / 100;
    if (slippageBps === null || slippageBps === undefined) return;
    const radio = all("[name=slip]").find(({ value }) => value === String(slippageBps));
    if (radio) radio.checked = true;
    else {
      $("[name=slip][value=own]").checked = true;
      $("#slippage").value = Number(slippageBps) / 100;
    }
  }

  // Kept over a reload and a log-in.

  keep() {
    keep(KEPT, {
      market: this.market, side: this.side, type: this.type, fixed: this.fixed,
      amount: $(this.fixed === "amountIn" ? "#amount-in" : "#amount-out").value,
      fields: this.values(), typed: [...this.typedPrices], slip: this.form.slip.value, own: $("#slippage").value, impact: $("#impact").value, till: $("#till").value,
      venues: all("[name=venue]:checked", this.form).map(({ value }) => value),
    }, sessionStorage);
  }

  restore() {
    const kept = read(KEPT, sessionStorage);
    if (!kept || typeof kept !== "object" || !TYPES[kept.type]) return;
    if (this.page.markets.some(({ market }) => market === kept.market)) this.market = kept.market;
    this.form.side.value = kept.side === "buy" ? "buy" : "sell";
    this.chooseType(kept.type);
    this.fixed = kept.fixed === "amountOut" && !this.rules.onlyIn ? "amountOut" : "amountIn";
    $("#amount-in").value = this.fixed === "amountIn" ? String(kept.amount ?? "") : "";
    $("#amount-out").value = this.fixed === "amountOut" ? String(kept.amount ?? "") : "";
    for (const field of all("[data-name]", this.form)) {
      const value = kept.fields?.[field.dataset.name];
      if (typeof value === "string" && value) field.value = value;
    }
    for (const name of kept.typed ?? []) this.typedPrices.add(name);
    for (const radio of all("[name=slip]")) radio.checked = radio.value === kept.slip || radio.checked;
    for (const box of all("[name=venue]", this.form)) box.checked = !Array.isArray(kept.venues) || kept.venues.includes(box.value);
    $("#slippage").value = String(kept.own ?? "");
    $("#impact").value = String(kept.impact ?? "");
    $("#till").value = String(kept.till ?? "");
  }
}

