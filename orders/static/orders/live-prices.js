/** The prices of markets, once a second for as long as somebody looks at them, and what waits for them. */

const FIRST_WAIT = 1_000; // milliseconds before the second try, then doubled
const LONGEST_WAIT = 15_000;
const POINTLESS = 4400; // there is no such market

export class PriceStreams {
  /** `tell(market)` is called with each new price. */
  constructor(tell) {
    Object.assign(this, { tell, last: new Map(), sockets: new Map() });
  }

  of(market) {
    return this.last.get(market) ?? {};
  }

  /** Follow these markets and no others. */
  want(markets) {
    for (const market of [...this.sockets.keys()]) if (!markets.has(market)) this.leave(market);
    for (const market of markets) if (!this.sockets.has(market)) this.follow(market, 0);
  }

  follow(market, failures) {
    const site = location.origin.replace(/^http/, "ws");
    const socket = new WebSocket(`${site}/ws/prices?market=${encodeURIComponent(market)}`);
    const place = { socket };
    this.sockets.set(market, place);
    socket.onmessage = ({ data }) => {
      const message = JSON.parse(data);
      if (!("bid" in message)) return; // an error: the close code tells why
      failures = 0;
      this.last.set(market, message);
      this.tell(market);
    };
    socket.onclose = ({ code }) => {
      if (this.sockets.get(market) !== place) return;
      this.last.delete(market); // an old price is no price
      this.tell(market);
      if (code === POINTLESS) return;
      const wait = Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** failures);
      place.timer = setTimeout(() => this.follow(market, failures + 1), wait * (0.75 + Math.random() / 2));
    };
  }

  leave(market) {
    const { socket, timer } = this.sockets.get(market);
    this.sockets.delete(market);
    this.last.delete(market);
    clearTimeout(timer);
    socket.close();
  }
}

/** Return the price that an order waits for, on which line, and on which side of it; null if it waits for no price. */
export function goalOf({ type, side, limitPrice, triggerPrice, triggerBy }, isTriggered) {
  const isSale = side === "sell";
  const isLimit = type === "limit" || (isTriggered && limitPrice);
  const price = isLimit ? limitPrice : triggerPrice;
  if (!price || (isTriggered && !isLimit)) return null;
  const line = triggerBy === "reference" && !isLimit ? "reference" : isSale ? "bid" : "ask";
  const isUp = isLimit || type === "takeProfit" ? isSale : !isSale;
  return { price, line, isUp };
}

/** Return in words how far a market is from a goal: "Bid now 100.2, 130 bps away". */
export function distanceTo({ price, line, isUp }, prices) {
  const now = Number(prices[line]);
  if (!now) return `There is no ${line} now`;
  const away = ((Number(price) - now) / now) * 1e4 * (isUp ? 1 : -1);
  const far = away < 1000 ? `${away.toFixed(away < 10 ? 1 : 0)} bps` : `${(away / 100).toFixed(0)} %`;
  const distance = away > 0 ? `${far} away` : "reached";
  return `${line[0].toUpperCase()}${line.slice(1)} now ${short(now)}, ${distance}`;
}

/** Return a price with as many digits as people compare. */
export const short = (price) => String(Number(Number(price).toPrecision(7)));
