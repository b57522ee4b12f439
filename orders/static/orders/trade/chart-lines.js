/** What is the reader's own in the chart: fills, the bound of the chosen order, and resting orders, which can be dragged. */

import { marketNamed, price } from "./format.js";
import { words } from "./words.js";

const DASHED = 2;
const DOTTED = 1;
const NARROW = 480; // pixels
const NEAR = 6; // pixels from a line in which it is taken hold of
const APART = 20; // points between two fills whose prices are written beside them
const FIELD = { limit: "limitPrice", stop: "triggerPrice", stopLimit: "triggerPrice", takeProfit: "triggerPrice" };

export class ChartLines {
  constructor(desk, prices, said) {
    Object.assign(this, { desk, prices, said, lines: new Map(), held: null, fills: 0 });
    this.markers = prices.library.createSeriesMarkers(prices.market, []);
    const { place } = prices;
    place.addEventListener("pointerdown", (event) => this.take(event), { capture: true });
    place.addEventListener("pointermove", (event) => this.move(event), { capture: true });
    place.addEventListener("pointerup", (event) => this.drop(event), { capture: true });
    place.addEventListener("pointercancel", () => this.release(), { capture: true });
    addEventListener("keydown", ({ key }) => key === "Escape" && this.release(), { capture: true });
  }

  /** Draw what there is now of the orders since `from`, a unix time. `anew`: colours or market changed. */
  draw(from, { anew = false } = {}) {
    const market = this.desk.market.value;
    const orders = this.desk.orders.all().filter((order) => `${order.baseToken}/${order.quoteToken}` === market);
    this.drawFills(orders, from);
    if (anew) this.clear();
    const wanted = new Map(orders.flatMap((order) => this.linesOf(order)).map((line) => [line.key, line]));
    for (const [key, line] of this.lines) if (!wanted.has(key)) this.remove(key, line);
    this.prices.own = [...wanted.values()].map(({ at }) => Number(at));
    for (const line of wanted.values()) this.put(line);
  }

  drawFills(orders, from) {
    const { color } = this.prices;
    const filled = orders.filter(({ executedPrice, finishedAt }) => executedPrice && finishedAt && Date.parse(finishedAt) / 1000 >= from);
    filled.sort((one, other) => Date.parse(one.finishedAt) - Date.parse(other.finishedAt));
    const times = filled.map(({ finishedAt }) => bucket(finishedAt, this.prices.step));
    const isApart = (index) => [index - 1, index + 1].every((other) => !(Math.abs(times[other] - times[index]) < APART * this.prices.step));
    const marks = filled.map(({ side, executedPrice, orderId }, index) => ({
      time: times[index],
      position: "atPriceMiddle",
      price: Number(executedPrice),
      shape: side === "sell" ? "arrowDown" : "arrowUp",
      color: color[side === "sell" ? "--sell" : "--buy"],
      id: orderId,
      size: 0.6,
      text: isApart(index) ? price(executedPrice, this.desk.market.value) : "",
    }));
    this.fills = marks.length;
    this.markers.setMarkers(marks);
  }

  linesOf(order) {
    const { color } = this.prices;
    const text = words.chart;
    const lines = [];
    const side = color[order.side === "sell" ? "--sell" : "--buy"];
    if (order.status === "open") {
      const field = FIELD[order.type];
      const at = order[field] ?? order.currentTriggerPrice;
      const canMove = Boolean(field && order[field]) && order.phase !== "limit" && order.phase !== "latched";
      const title = text.resting(order.side, words.type[order.type]);
      if (at) lines.push({ key: order.orderId, order, field: canMove ? field : null, at, title, color: side, style: DASHED });
    }
    const bound = order.decision?.minAcceptablePrice;
    if (order.orderId === this.desk.selected.value && bound) {
      lines.push({ key: `${order.orderId} bound`, order, field: null, at: bound, title: text.bound, color: color["--warn"], style: DOTTED });
    }
    return lines;
  }

  put(line) {
    const { color, style } = line;
    const title = this.prices.place.clientWidth < NARROW ? "" : line.title; // there it would cover the prices
    const options = { price: Number(line.at), color, title, lineStyle: style, lineWidth: 1, axisLabelVisible: true };
    const known = this.lines.get(line.key);
    if (known && this.held === known) return Object.assign(known, { order: line.order }); // it follows the pointer
    if (known?.at === line.at) return void (known.order = line.order);
    if (known) known.drawn.applyOptions(options);
    const drawn = known?.drawn ?? this.prices.market.createPriceLine(options);
    this.lines.set(line.key, { ...line, drawn });
  }

  remove(key, line) {
    if (this.held === line) this.held = null;
    this.prices.market.removePriceLine(line.drawn);
    this.lines.delete(key);
  }

  clear() {
    for (const [key, line] of [...this.lines]) this.remove(key, line);
  }

  near(event) {
    const y = event.clientY - this.prices.place.getBoundingClientRect().top;
    const far = (line) => Math.abs((this.prices.market.priceToCoordinate(Number(line.at)) ?? Infinity) - y);
    const movable = [...this.lines.values()].filter(({ field }) => field);
    return movable.filter((line) => far(line) <= NEAR).sort((one, other) => far(one) - far(other))[0] ?? null;
  }

  take(event) {
    const line = event.button === 0 ? this.near(event) : null;
    if (!line || this.isSending) return;
    event.stopPropagation();
    this.held = line;
    this.prices.place.setPointerCapture(event.pointerId);
    this.prices.chart.applyOptions({ handleScroll: false, handleScale: false });
  }

  move(event) {
    const { place, market } = this.prices;
    if (!this.held) return void place.classList.toggle("can-move", Boolean(this.near(event)));
    event.stopPropagation();
    const y = event.clientY - place.getBoundingClientRect().top;
    const value = market.coordinateToPrice(y);
    if (value === null || value <= 0) return;
    this.held.to = value.toFixed(marketNamed(this.desk.market.value)?.priceDecimals ?? 4);
    const title = words.chart.amending(this.held.title, price(this.held.to, this.desk.market.value));
    this.held.drawn.applyOptions({ price: Number(this.held.to), title });
  }

  async drop(event) {
    const line = this.held;
    if (!line) return;
    event.stopPropagation();
    const { to, at, field, order, title } = line;
    this.letGo();
    if (to === undefined || Number(to) === Number(at)) return this.putBack(line);
    this.isSending = true;
    const { ok, body } = await this.desk.act.amend(order.orderId, order.seq, { [field]: to });
    this.isSending = false;
    if (!ok) {
      this.putBack(line);
      const code = body.errors?.[0]?.code ?? body.error;
      return this.tell(words.chart.kept[code] ?? words.chart.kept.any);
    }
    line.at = null; // what the engine answers is drawn anew
    this.desk.orders.take(body);
    this.tell(words.chart.amended(title, price(to, this.desk.market.value)));
  }

  /** Let go of a line that is being dragged, and leave its order as it is. */
  release() {
    const line = this.held;
    this.letGo();
    if (line) this.putBack(line);
  }

  letGo() {
    this.held = null;
    this.prices.chart.applyOptions({ handleScroll: true, handleScale: true });
  }

  putBack(line) {
    delete line.to;
    line.drawn.applyOptions({ price: Number(line.at), title: line.title });
  }

  tell(text) {
    this.said.textContent = text;
    clearTimeout(this.silence);
    this.silence = setTimeout(() => (this.said.textContent = ""), 5_000);
  }
}

const bucket = (at, step) => {
  const second = Math.floor(Date.parse(at) / 1000);
  return second - (second % step);
};
