/** The prices of markets, once a second, for as long as some panel looks at them. */

const FIRST_WAIT = 1_000; // milliseconds before the second try, then doubled
const LONGEST_WAIT = 15_000;
const OLD = 5_000; // after so long without a frame, the last price is no price
const POINTLESS = 4400; // there is no such market

export class Prices {
  constructor() {
    Object.assign(this, { wanted: new Map(), last: new Map(), places: new Map(), told: new Set() });
    setInterval(() => this.beat(), 1_000);
    addEventListener("online", () => this.again());
    document.addEventListener("visibilitychange", () => document.hidden || this.again());
  }

  /** Return the last frame of a market; {} if there is none that is fresh. */
  of(market) {
    return this.last.get(market) ?? {};
  }

  /** Have `tell(market)` called with each new price, and when there is none any more. */
  subscribe(tell) {
    this.told.add(tell);
    return () => this.told.delete(tell);
  }

  /** Follow these markets for a panel, and none of its former ones. */
  want(name, markets) {
    this.wanted.set(name, new Set(markets));
    const asked = new Set([...this.wanted.values()].flatMap((some) => [...some]));
    for (const market of [...this.places.keys()]) if (!asked.has(market)) this.leave(market);
    for (const market of asked) if (!this.places.has(market)) this.follow(market, 0);
  }

  follow(market, failures) {
    const site = location.origin.replace(/^http/, "ws");
    const socket = new WebSocket(`${site}/ws/prices?market=${encodeURIComponent(market)}`);
    const place = { socket, failures, heardAt: Date.now() };
    this.places.set(market, place);
    socket.onmessage = ({ data }) => {
      const message = JSON.parse(data);
      if (!("bid" in message)) return; // an error: the close code tells why
      Object.assign(place, { failures: 0, heardAt: Date.now() });
      this.last.set(market, message);
      this.tell(market);
    };
    socket.onclose = ({ code }) => {
      if (this.places.get(market) !== place) return;
      this.forget(market);
      if (code === POINTLESS) return;
      const wait = Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** place.failures);
      place.timer = setTimeout(() => this.follow(market, place.failures + 1), wait * (0.75 + Math.random() / 2));
    };
  }

  leave(market) {
    const { socket, timer } = this.places.get(market);
    this.places.delete(market);
    this.last.delete(market);
    clearTimeout(timer);
    socket.close();
  }

  /** A line that went silent without a word is opened anew. */
  beat() {
    for (const [market, place] of this.places) {
      const isSilent = Date.now() - place.heardAt > OLD && place.socket.readyState === WebSocket.OPEN;
      if (!isSilent) continue;
      this.forget(market);
      if (!document.hidden) this.renew(market);
    }
  }

  again() {
    for (const market of [...this.places.keys()]) this.renew(market);
  }

  renew(market) {
    this.leave(market);
    this.follow(market, 0);
  }

  forget(market) {
    if (this.last.delete(market)) this.tell(market);
  }

  tell(market) {
    for (const tell of this.told) tell(market);
  }
}
