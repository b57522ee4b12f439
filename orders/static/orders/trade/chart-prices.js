/** The chart's lines of prices: the market, and what each venue nets on the ticket's side. */

import { marketNamed, number } from "./format.js";

const clock = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });
const short = new Intl.DateTimeFormat("en-GB", { timeStyle: "short" });
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const MARKS = [day, day, day, short, clock]; // by the library's TickMarkType: year, month, day, time, time with seconds
const NEAR = 0.01; // of the market's price
const SOLID = 0;
const DASHED = 2;
const COLORS = ["--ink", "--ink-3", "--line", "--accent", "--panel", "--venue-1", "--venue-2", "--buy", "--sell", "--edge", "--warn"];

export class ChartPrices {
  constructor(place, venues) {
    Object.assign(this, { place, library: window.LightweightCharts, names: Object.keys(venues), own: [], low: null, high: null, step: 1, last: 0, line: "bid" });
    this.chart = this.library.createChart(place, {
      autoSize: true,
      layout: { attributionLogo: false, fontSize: 11 }, // its logo has an inline style, which our policy forbids
      rightPriceScale: { borderVisible: false },
      timeScale: { borderVisible: false, timeVisible: true, secondsVisible: false, rightOffset: 2, allowBoldLabels: false, tickMarkFormatter: (time, type) => MARKS[type].format(time * 1000) },
      localization: { timeFormatter: (time) => clock.format(time * 1000) },
      handleScale: { axisPressedMouseMove: false },
    });
    const { AreaSeries, LineSeries } = this.library;
    const autoscaleInfoProvider = (own) => this.withNear(own());
    this.market = this.chart.addSeries(AreaSeries, { lineWidth: 2, priceLineVisible: true, autoscaleInfoProvider });
    const quiet = { lineWidth: 1, priceLineVisible: false, lastValueVisible: false, crosshairMarkerVisible: false };
    this.venues = new Map(this.names.map((name, index) => [name, this.chart.addSeries(LineSeries, { ...quiet, lineStyle: index ? DASHED : SOLID })]));
    this.paint();
  }

  /** Take the colours of the theme. */
  paint() {
    const color = (this.color = colors());
    this.chart.applyOptions({
      layout: { background: { color: "transparent" }, textColor: color["--ink-3"] },
      grid: { vertLines: { color: color["--line"] }, horzLines: { color: color["--line"] } },
    });
    const clear = color["--accent"].replace("rgb(", "rgba(").replace(")", ", ");
    this.market.applyOptions({ lineColor: color["--ink"], topColor: `${clear}0.12)`, bottomColor: `${clear}0)`, priceLineColor: color["--accent"] });
    [...this.venues.values()].forEach((series, index) => series.applyOptions({ color: color[`--venue-${(index % 2) + 1}`] }));
  }

  /** Show a market's points, as `GET /api/prices` has them; `line` is the side of the venues' prices. */
  show({ market, step, line, points }) {
    Object.assign(this, { step, line, low: null, high: null, last: 0 });
    const decimals = marketNamed(market)?.priceDecimals ?? 4;
    const priceFormat = { type: "custom", minMove: 10 ** -decimals, formatter: (value) => number(value, decimals) };
    for (const series of [this.market, ...this.venues.values()]) series.applyOptions({ priceFormat });
    const rows = points.map((point) => ({ ...point, time: Math.floor(Date.parse(point.at) / 1000) }));
    const known = rows.filter(({ reference }) => reference);
    known.forEach(({ reference }) => this.widen(reference.low, reference.high));
    this.market.setData(known.map(({ time, reference }) => ({ time, value: Number(reference.last) })));
    for (const [name, series] of this.venues) {
      series.setData(rows.filter(({ venues }) => venues?.[name]?.[line]).map(({ time, venues }) => ({ time, value: Number(venues[name][line]) })));
    }
    this.last = rows.at(-1)?.time ?? 0;
    this.chart.timeScale().applyOptions({ secondsVisible: step === 1 });
    this.chart.timeScale().fitContent();
  }

  /** Add the newest prices, a frame of `/ws/prices`. */
  add({ at, reference, venues }) {
    const second = Math.floor(Date.parse(at) / 1000);
    const time = second - (second % this.step);
    if (time < this.last) return; // of before what was read
    this.last = time;
    if (reference) {
      this.market.update({ time, value: Number(reference) });
      this.widen(reference, reference);
    }
    for (const [name, series] of this.venues) {
      const value = venues?.[name]?.[this.line];
      if (value) series.update({ time, value: Number(value) });
    }
  }

  /** Have room for the lines that are near the market; one far away would flatten all others. */
  withNear(info) {
    if (!info?.priceRange) return info;
    const { minValue, maxValue } = info.priceRange;
    const near = this.own.filter((value) => value > minValue * (1 - NEAR) && value < maxValue * (1 + NEAR));
    return { ...info, priceRange: { minValue: Math.min(minValue, ...near), maxValue: Math.max(maxValue, ...near) } };
  }

  widen(low, high) {
    this.low = this.low === null ? Number(low) : Math.min(this.low, low);
    this.high = this.high === null ? Number(high) : Math.max(this.high, high);
  }

  range() {
    return { low: this.low, high: this.high };
  }
}

/** Return the theme's colours as `rgb(…)`: the chart draws on a canvas, which knows no variables. */
function colors() {
  const probe = document.createElement("i");
  probe.hidden = true;
  document.body.append(probe);
  const found = {};
  for (const name of COLORS) {
    probe.style.color = `var(${name})`;
    found[name] = getComputedStyle(probe).color;
  }
  probe.remove();
  return found;
}
