/** A socket that only listens, and comes again by itself when it ends or falls silent. */

const FIRST_WAIT = 1_000; // milliseconds before the second try, then doubled
const LONGEST_WAIT = 30_000;
const REFUSED = 4400; // from here on a close means that asking again is no use

export class SteadySocket {
  /** `tell(message)` is called with each frame, and with null when there is none for `silence` milliseconds. */
  constructor(path, silence, tell) {
    Object.assign(this, { path, silence, tell, failures: 0, heardAt: Date.now() });
    setInterval(() => this.beat(), 1_000);
    addEventListener("online", () => this.open());
    document.addEventListener("visibilitychange", () => !document.hidden && !this.isHeard() && this.open());
    this.open();
  }

  isHeard() {
    return Date.now() - this.heardAt < this.silence;
  }

  open() {
    clearTimeout(this.timer);
    this.socket?.close();
    const socket = new WebSocket(location.origin.replace(/^http/, "ws") + this.path);
    this.socket = socket;
    this.heardAt = Date.now();
    socket.onmessage = ({ data }) => socket === this.socket && this.heard(JSON.parse(data));
    socket.onclose = ({ code }) => socket === this.socket && this.closed(code);
  }

  heard(message) {
    if (message.type === "error") return;
    this.failures = 0;
    this.heardAt = Date.now();
    this.tell(message);
  }

  closed(code) {
    this.socket = null;
    this.tell(null);
    if (code >= REFUSED && code < REFUSED + 5) return;
    const wait = Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** this.failures++);
    this.timer = setTimeout(() => this.open(), wait * (0.75 + Math.random() / 2));
  }

  beat() {
    if (!this.socket || this.isHeard() || document.hidden) return;
    this.tell(null);
    this.open();
  }
}
