/** An order as a card, drawn from its events and from nothing else. */

import { distanceTo, goalOf } from "./live-prices.js";
import { counted, engine, isExactOut, limitsOf, rowsBefore, rowsOf } from "./live-route.js";

const STEPS = ["pending", "routing", "building", "submitted", "confirmed"];
const clock = new Intl.DateTimeFormat([], { timeStyle: "medium" });

export const isFinal = (status) => engine.final.includes(status);

export class OrderCard {
  constructor(orderId, cancel) {
    this.orderId = orderId;
    this.events = [];
    this.element = copyOf("order");
    this.steps = Object.fromEntries(
      STEPS.map((step) => [step, this.element.querySelector(`[data-step=${step}]`)]),
    );
    const link = this.part("link");
    link.href = `/api/orders/${orderId}`;
    link.textContent = `…${orderId.slice(-8)}`;
    link.setAttribute("aria-label", `Order ${orderId} in the API`);
    this.part("cancel").addEventListener("click", () => cancel(this));
    this.order = {};
    this.drawVenues();
  }

  get status() {
    return this.events.at(-1)?.status ?? "connecting";
  }

  get title() {
    return this.part("title").textContent;
  }

  part(name) {
    return this.element.querySelector(`[data-part=${name}]`);
  }

  write(name, text) {
    this.part(name).textContent = text ?? "";
    this.part(name).hidden = !text;
  }

  add(event) {
    const before = this.events.at(-1);
    this.events.push(event);
    this.drawStep(event, before);
    this.drawLine(event, before);
    this.drawStatus();
    this[event.status]?.(event);
    if (isFinal(event.status)) this.end(event);
  }

  /** The market whose price it waits for; null if it waits for none. */
  get watched() {
    const { baseToken, quoteToken } = this.order;
    return this.status === "open" && this.goal ? `${baseToken}/${quoteToken}` : null;
  }

  // What each kind of event tells.

  received(order) {
    this.order = order;
    this.part("title").textContent = titleOf(order);
    const terms = (order.type ?? "market") === "market" ? "" : order.summary;
    this.write("limits", [terms, limitsOf(order)].filter(Boolean).join(" "));
    this.drawVenues();
  }

  open({ event, message, data }) {
    if (data.order) this.received(data.order);
    if (event === "amended") this.received({ ...this.order, ...data.after });
    if (event === "triggered") this.isTriggered = true;
    this.goal = goalOf(this.order, this.isTriggered);
    this.decision = null;
    this.drawVenues();
    this.write("waits", this.goal ? "" : message);
    this.write("fault", event === "returned" ? message : "");
  }

  pending({ attempt, message, data }) {
    if (data.order) this.received(data.order);
    this.write("waits", "");
    if (attempt && data.retryInSeconds) this.write("fault", `${message}; the next one after ${Number(data.retryInSeconds).toFixed(1)} s`);
  }

  routing() {
    this.decision = null;
    this.drawVenues("asked…");
  }

  building({ data }) {
    this.decision = data;
    this.drawVenues();
    this.write("reason", data.reason);
    this.write(
      "bound",
      data.minAmountOut
        ? `at least ${data.minAmountOut} ${this.order.tokenOut}`
        : `at most ${data.maxAmountIn} ${this.order.tokenIn}`,
    );
  }

  submitted({ txHash }) {
    this.write("transaction", txHash);
    this.part("transaction").title = txHash;
  }

  confirmed({ executedPrice, data }) {
    this.write("fill", `${counted(this.order, data)} at ${executedPrice}`);
    this.drawScale(data);
  }

  end(event) {
    this.write("waits", "");
    if (event.status !== "confirmed") this.write("fault", event.message.replaceAll("; ", ";\n"));
    if (!this.decision) this.drawVenues();
    this.write("total", `after ${seconds(this.events[0], event)}`);
  }

  // Drawing.

  /** Show how far the price is that it waits for. */
  drawDistance(prices) {
    const { price, line, isUp } = this.goal;
    const words = `Waits for the ${line} to be ${price} or ${isUp ? "higher" : "lower"}`;
    this.write("waits", `${words}. ${distanceTo(this.goal, prices)}.`);
  }

  drawStatus() {
    this.element.firstElementChild.dataset.status = this.part("status").textContent = this.status;
    this.part("cancel").hidden = !engine.cancellable.includes(this.status);
    this.part("count").textContent = `, ${this.events.length} events`;
  }

  drawStep(event, before) {
    const reached = STEPS.indexOf(event.status);
    const isOver = isFinal(event.status);
    // An end that is no step of its own stands on the step after the last one that was reached.
    const at = reached >= 0 ? reached : event.status === "open" ? 0 : STEPS.indexOf(before?.status) + 1;
    STEPS.forEach((step, place) => {
      const element = this.steps[step];
      element.dataset.state = place < at ? "done" : place > at ? "ahead" : isOver ? "end" : "now";
      element.ariaCurrent = place === at && !isOver ? "step" : null;
      element.querySelector("span").textContent = place === at ? event.status : step;
      if (place > at) element.querySelector("time").textContent = "";
    });
    const time = this.steps[STEPS[at]].querySelector("time");
    time.textContent = before ? `+${seconds(before, event)}` : clock.format(new Date(event.timestamp));
    time.dateTime = event.timestamp;
  }

  drawVenues(waiting = "") {
    const { order, decision } = this;
    const rows = decision ? rowsOf(order, decision) : rowsBefore(order, waiting);
    this.part("venues").replaceChildren(...rows.map(drawRow));
    this.part("venues").toggleAttribute("data-hops", Boolean(decision?.hops));
  }

  /** Place the fill on a line from the bound (0) over the quote (50) to as much better again. */
  drawScale(filled) {
    const amount = isExactOut(this.order) ? "amountIn" : "amountOut";
    const bound = Number(isExactOut(this.order) ? this.decision.maxAmountIn : this.decision.minAmountOut);
    const quote = Number(this.decision.quote[amount]);
    const gain = ((Number(filled[amount]) - quote) / quote) * 1e4 * (isExactOut(this.order) ? -1 : 1);
    this.part("against").textContent =
      `${Math.abs(gain).toFixed(1)} bps ${gain < 0 ? "worse" : "better"}`;
    const place = quote === bound ? 50 : ((Number(filled[amount]) - bound) / (quote - bound)) * 50;
    this.part("scale").style.setProperty("--fill", `${Math.max(0, Math.min(100, place))}%`);
  }

  drawLine(event, before) {
    const line = copyOf("line");
    const write = (part, text) => (line.querySelector(`[data-part=${part}]`).textContent = text);
    write("seq", event.seq);
    write("status", event.status);
    write("message", event.message);
    write("time", before ? `+${seconds(before, event)}` : clock.format(new Date(event.timestamp)));
    this.part("log").append(line);
  }
}

function drawRow({ state, venue, price = "", net, margin = "" }) {
  const row = copyOf("venue");
  row.dataset.state = state;
  for (const [name, text] of Object.entries({ venue, price, net, margin })) {
    row.querySelector(`[data-part=${name}]`).textContent = text;
  }
  return row;
}

function copyOf(template) {
  return document.getElementById(template).content.firstElementChild.cloneNode(true);
}

function titleOf({ side, baseToken, quoteToken, tokenIn, amountIn, amountOut }) {
  const amount = (token) => [token === tokenIn ? amountIn : amountOut, token].filter(Boolean).join(" ");
  return side === "sell"
    ? `Sell ${amount(baseToken)} for ${amount(quoteToken)}`
    : `Buy ${amount(baseToken)} with ${amount(quoteToken)}`;
}

function seconds(before, after) {
  return `${((Date.parse(after.timestamp) - Date.parse(before.timestamp)) / 1000).toFixed(2)} s`;
}
