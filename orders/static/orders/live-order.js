/** An order as a card, drawn from its events and from nothing else. */

const engine = JSON.parse(document.getElementById("engine").textContent);
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
    this.drawVenues({ quotes: [], dropped: [] });
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

  // What each kind of event tells.

  pending({ attempt, message, data }) {
    if (data.order) {
      this.order = data.order;
      this.part("title").textContent = titleOf(data.order);
    }
    if (attempt) this.write("fault", `${message}; the next one after ${Number(data.retryInSeconds).toFixed(1)} s`);
  }

  routing() {
    this.drawVenues({ quotes: [], dropped: [] }, "asked…");
  }

  building({ data }) {
    this.decision = data;
    this.drawVenues(data);
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
    this.write("fill", `${this.counted(data)} at ${executedPrice}`);
    this.drawScale(data);
  }

  end(event) {
    if (event.status !== "confirmed") this.write("fault", event.message);
    this.write("total", `after ${seconds(this.events[0], event)}`);
  }

  /** The amount that venues compete for: what arrives, or what it takes if that is fixed. */
  counted({ amountIn, amountOut }) {
    return this.isExactOut ? `${amountIn} ${this.order.tokenIn}` : `${amountOut} ${this.order.tokenOut}`;
  }

  get isExactOut() {
    return this.order.amountOut !== null;
  }

  // Drawing.

  drawStatus() {
    this.element.firstElementChild.dataset.status = this.part("status").textContent = this.status;
    this.part("cancel").hidden = !engine.cancellable.includes(this.status);
    this.part("count").textContent = `, ${this.events.length} events`;
  }

  drawStep(event, before) {
    const reached = STEPS.indexOf(event.status);
    const isOver = isFinal(event.status);
    // An end that is no step of its own stands on the step after the last one that was reached.
    const at = reached >= 0 ? reached : STEPS.indexOf(before?.status) + 1;
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

  drawVenues({ quotes, dropped, selectedDex, marginBps }, waiting = "") {
    const rows = Object.entries(engine.venues).map(([name, label]) => {
      const quote = quotes.find(({ dex }) => dex === name);
      const isWinner = name === selectedDex;
      const row = copyOf("venue");
      const write = (part, text) => (row.querySelector(`[data-part=${part}]`).textContent = text);
      row.dataset.state = isWinner ? "winner" : quote ? "beaten" : selectedDex ? "dropped" : "asked";
      write("venue", label);
      write("price", quote ? `${quote.price} − ${quote.feeBps / 100} %` : "");
      write("net", quote ? this.counted(quote) : (dropped.find(({ dex }) => dex === name)?.reason ?? waiting));
      write("margin", isWinner ? (marginBps ? `+${marginBps} bps` : "only quote") : "");
      return row;
    });
    this.part("venues").replaceChildren(...rows);
  }

  /** Place the fill on a line from the bound (0) over the quote (50) to as much better again. */
  drawScale(filled) {
    const amount = this.isExactOut ? "amountIn" : "amountOut";
    const bound = Number(this.isExactOut ? this.decision.maxAmountIn : this.decision.minAmountOut);
    const quote = Number(this.decision.quote[amount]);
    const gain = ((Number(filled[amount]) - quote) / quote) * 1e4 * (this.isExactOut ? -1 : 1);
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
