/** One order's events: each once and in order, whatever happens to the connection. */

const FIRST_WAIT = 250; // milliseconds before the second try, then doubled
const LONGEST_WAIT = 8_000;
const POINTLESS = new Set([4400, 4401, 4404]); // the server would only say the same again

export class OrderStream {
  /** `on` has event(message), connection(isLost), and end(code), the close code: nothing more will come. */
  constructor(orderId, isFinal, on) {
    Object.assign(this, { orderId, isFinal, on, seq: 0, failures: 0, isOver: false });
    this.connect();
  }

  connect() {
    clearTimeout(this.timer);
    this.timer = null;
    const site = location.origin.replace(/^http/, "ws");
    this.socket = new WebSocket(`${site}/ws/orders/${this.orderId}?after=${this.seq}`);
    this.socket.onmessage = ({ data }) => this.take(JSON.parse(data));
    this.socket.onclose = ({ code }) => this.closed(code);
  }

  take(message) {
    if (message.type === "error" || message.seq <= this.seq) return; // the close code tells why
    if (message.seq > this.seq + 1) return this.socket.close(); // a gap: ask again from here
    if (this.failures) this.on.connection(false);
    this.failures = 0;
    this.seq = message.seq;
    this.isOver = this.isFinal(message.status);
    this.on.event(message);
  }

  closed(code) {
    if (this.isOver || POINTLESS.has(code)) return this.on.end(code);
    const wait = Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** this.failures++);
    this.timer = setTimeout(() => this.connect(), wait * (0.75 + Math.random() / 2));
    this.on.connection(true);
  }

  /** Try now: the network is back, or somebody looks at the page again. */
  wake() {
    if (this.timer) this.connect();
  }
}
