/** The part of the ticket that says when: now, at a limit, or at a stop; with its price, prefilled near the market's. */

import { distanceTo, goalOf, short } from "./live-prices.js";
import { engine } from "./live-route.js";

const PRICES = { limit: "limitPrice", stop: "triggerPrice" };
const LABELS = { limit: "Limit price, fees included", stop: "Trigger price" };
const NEAR = { limit: 0.002, stop: -0.02 }; // of the price, to the better or to the worse

export class TermsFields {
  /** `prices` are PriceStreams. */
  constructor(ticket, prices) {
    Object.assign(this, { ticket, prices, isTyped: false });
    ticket.price.addEventListener("input", () => (this.isTyped = true));
    ticket.slippage.addEventListener("input", () => (this.isSlippageTyped = true));
    for (const { name } of [ticket.market, ticket.type[0], ticket.side[0]]) {
      ticket.querySelectorAll(`[name=${name}]`).forEach((field) => field.addEventListener("change", () => this.begin()));
    }
    this.begin();
  }

  get type() {
    return this.ticket.type.value;
  }

  get market() {
    return this.ticket.market.value;
  }

  /** Return what the ticket says of it, in the words of the API. */
  read() {
    if (this.type === "market") return {};
    return { type: this.type, [PRICES[this.type]]: this.ticket.price.value.trim() || undefined };
  }

  /** Return whether an order of this type says what it tolerates: the limit of one is its limit price. */
  get hasSlippage() {
    return this.type !== "limit";
  }

  /** Begin anew for another type, side or market: a price that was typed for the last one would mislead. */
  begin() {
    const waits = this.type in PRICES;
    document.getElementById("waits").hidden = !waits;
    document.getElementById("tolerance").hidden = !this.hasSlippage;
    document.getElementById("price-label").textContent = LABELS[this.type] ?? "";
    document.getElementById("price-unit").textContent = this.market.split("/").toReversed().join(" per ");
    if (!this.isSlippageTyped) this.ticket.slippage.value = engine.slippageBps[this.type] ?? "";
    this.isTyped = false;
    this.ticket.price.value = "";
    this.show();
  }

  /** Show how far away the price is, and fill one in as soon as there is one and nothing was typed. */
  show() {
    if (!(this.type in PRICES)) return;
    const { side } = this.ticket;
    const now = Number(this.prices.of(this.market)[side.value === "sell" ? "bid" : "ask"]);
    if (now && !this.isTyped && !this.ticket.price.value) {
      const better = side.value === "sell" ? 1 : -1;
      this.ticket.price.value = short((now * (1 + NEAR[this.type] * better)).toPrecision(5));
    }
    const goal = goalOf({ side: side.value, ...this.read() }, false) ?? { price: NaN, line: "", isUp: true };
    document.getElementById("price-hint").textContent = goal.line
      ? distanceTo(goal, this.prices.of(this.market))
      : "In quote tokens for one base token";
  }
}
