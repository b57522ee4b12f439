/** The chart: the market, both venues' net prices, fills and resting orders. The library comes after the first paint. */

import { ask } from "./api.js";
import { ChartLines } from "./chart-lines.js";
import { ChartPrices } from "./chart-prices.js";
import { $, all, frame, mark } from "./dom.js";
import { price } from "./format.js";
import { words } from "./words.js";

const STEPS = { 5: 1, 15: 1, 60: 60, 1440: 300 }; // seconds of a point, by the minutes that are shown
const PATIENCE = 10_000;

export function start(desk) {
  const place = $("#chart");
  desk.market.subscribe((market) => desk.prices.want("chart", [market]));
  afterPaint(() => load(place.dataset.library).then(() => new Chart(desk, place), () => showText(desk, place)));
}

class Chart {
  constructor(desk, place) {
    Object.assign(this, { desk, place, minutes: 5, isAsking: 0 });
    this.prices = new ChartPrices(place, desk.page.venues);
    this.lines = new ChartLines(desk, this.prices, $("#chart-said"));
    const drawLines = frame(() => this.lines.draw(this.from()));
    const drawPrices = frame(() => this.tick());
    all("input[name=span]").forEach((input) => input.addEventListener("change", () => this.span(Number(input.value))));
    desk.market.subscribe(() => this.read());
    desk.offer.subscribe(() => this.side() !== this.prices.line && this.read());
    desk.prices.subscribe((market) => market === desk.market.value && drawPrices());
    desk.orders.subscribe(drawLines);
    desk.selected.subscribe(drawLines);
    onTheme(() => {
      this.prices.paint();
      this.lines.draw(this.from(), { anew: true });
    });
    document.addEventListener("visibilitychange", () => document.hidden || this.read());
  }

  side() {
    const { answer, order } = this.desk.offer.value ?? {};
    return (answer?.side ?? order?.side) === "buy" ? "ask" : "bid";
  }

  from() {
    return Date.now() / 1000 - this.minutes * 60;
  }

  span(minutes) {
    this.minutes = minutes;
    this.read();
  }

  /** Read the past of the market; the socket tells the rest. */
  async read() {
    const asked = ++this.isAsking;
    const market = this.desk.market.value;
    const step = STEPS[this.minutes];
    const from = new Date(this.from() * 1000).toISOString();
    const { ok, body } = await ask("GET", `/api/prices?${new URLSearchParams({ market, step, from })}`, { patience: PATIENCE });
    if (asked !== this.isAsking) return;
    this.prices.show({ market, step, line: this.side(), points: ok ? body.points : [] });
    this.lines.draw(this.from(), { anew: true });
    this.describe();
  }

  tick() {
    const known = this.desk.prices.of(this.desk.market.value);
    if (!known.at) return;
    this.prices.add(known);
    this.describe();
  }

  describe() {
    const { low, high } = this.prices.range();
    const market = this.desk.market.value;
    const text = words.chart;
    const said = low === null ? text.none : text.about(market, text.spans[this.minutes], price(low, market), price(high, market), this.lines.fills);
    mark(this.place, "aria-label", said);
    mark(this.place, "data-empty", low === null ? text.none : null);
  }
}

function showText(desk, place) {
  place.setAttribute("aria-label", words.chart.later);
  place.dataset.empty = words.chart.later;
}

function afterPaint(act) {
  requestAnimationFrame(() => setTimeout(act, 0));
}

function load(path) {
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    Object.assign(script, { src: path, async: true, onload: () => (window.LightweightCharts ? resolve() : reject()), onerror: reject });
    document.head.append(script);
  });
}

function onTheme(act) {
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", act);
  new MutationObserver(act).observe(document.documentElement, { attributeFilter: ["data-theme"] });
}
