/** How figures, times and ids are written. Values are the API's: decimals as text, or numbers; times in RFC 3339. */

const MINUS = "−"; // a sign that is as wide as a plus
const LARGE = 100_000; // from here on, an amount is shown with at most two decimals
const grouped = new Map(); // decimals -> Intl.NumberFormat
const clockFormat = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });
const dayFormat = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const zoneFormat = new Intl.DateTimeFormat("en-GB", { timeZoneName: "shortOffset" });
let known = { markets: new Map(), tokens: new Map() };

/** Take the markets and tokens that `GET /api/markets` names. */
export function learn({ markets, tokens }) {
  known = {
    markets: new Map(markets.map((market) => [market.market, market])),
    tokens: new Map(tokens.map((token) => [token.symbol, token])),
  };
}

export const marketNamed = (name) => known.markets.get(name);

/** Return a number with so many decimals and its digits in groups: "869,585.0854". */
export function number(value, decimals) {
  if (value === null || value === undefined || value === "" || !Number.isFinite(Number(value))) return "–";
  const format = grouped.get(decimals) ?? new Intl.NumberFormat("en", { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
  grouped.set(decimals, format);
  return format.format(typeof value === "string" ? value : Number(value)).replace("-", MINUS); // a text keeps all its digits
}

/** Return all digits of a value, in groups, for a title. */
export const exact = (value) => (value === null || value === undefined ? "" : number(value, decimalsIn(value)));

function decimalsIn(value) {
  const text = typeof value === "string" ? value : String(value);
  const [, places = ""] = text.split(".");
  return /e/i.test(text) ? 12 : Math.min(20, places.length);
}

/** Return an amount of a token, with the decimals that count for what it is worth. */
export function amount(value, token) {
  const decimals = decimalsOf(token);
  return number(value, Math.abs(Number(value)) >= LARGE ? Math.min(2, decimals) : decimals);
}

/** Return the decimals that amounts of a token are shown with. */
export function decimalsOf(symbol) {
  const { decimals = 6, shownDecimals } = known.tokens.get(symbol) ?? {};
  return Math.min(decimals, shownDecimals ?? 4);
}

/** Return a price of a market, with the market's decimals. */
export const price = (value, market) => number(value, known.markets.get(market)?.priceDecimals ?? 4);

/** Return basis points: "+93.0 bps". */
export function bps(value, { sign = false, unit = true } = {}) {
  if (value === null || value === undefined || value === "") return "–";
  const shown = Number(value);
  const text = number(Math.abs(shown), Math.abs(shown) < 1000 ? 1 : 0);
  const mark = shown < 0 && text !== "0.0" ? MINUS : sign ? "+" : "";
  return mark + text + (unit ? " bps" : "");
}

/** Return basis points as a percentage: 100 -> "1 %". */
export function percent(value, decimals = 2) {
  const text = number(Number(value) / 100, decimals);
  return `${text.includes(".") ? text.replace(/\.?0+$/, "") : text} %`;
}

/** Return milliseconds as people read them: "212 ms", "2.84 s", "3 min 5 s". */
export function seconds(ms) {
  if (ms === null || ms === undefined || !Number.isFinite(ms)) return "–";
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`;
  const minutes = Math.floor(ms / 60_000);
  if (minutes < 60) return `${minutes} min ${Math.floor((ms % 60_000) / 1000)} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** Return a time of day on the reader's own clock, with the day if it is another one. */
export function clock(at) {
  if (!at) return "–";
  const time = new Date(at);
  const isToday = time.toDateString() === new Date().toDateString();
  return isToday ? clockFormat.format(time) : `${dayFormat.format(time)} ${clockFormat.format(time)}`;
}

/** Return a time in UTC, with all its digits. */
export const utc = (at) => (at ? String(at).replace("T", " ").replace(/(\.\d{3})\d*/, "$1").replace(/Z|\+00:00$/, " UTC") : "");

/** Return a <time> on the reader's clock, with UTC in its title. */
export function timeOf(at) {
  const element = document.createElement("time");
  element.dateTime = at;
  element.title = utc(at);
  element.textContent = clock(at);
  return element;
}

/** Return how far the reader's clock is from UTC, such as "UTC+1". */
export function zone() {
  const part = zoneFormat.formatToParts(new Date()).find(({ type }) => type === "timeZoneName");
  return part.value.replace("GMT", "UTC");
}

/** Return the eight characters by which people name an order, everywhere the same. */
export const shortId = (id) => String(id).replaceAll("-", "").slice(-8);

/** Return what a person typed as the API reads it: "1 000.5" -> "1000.5". Null if it is no plain number. */
export function readNumber(text) {
  const plain = text.trim().replace(/[\s\u00a0\u202f'_]/g, "");
  const grouped = /^\d{1,3}(,\d{3})+(\.\d*)?$/.test(plain) ? plain.replaceAll(",", "") : plain;
  return /^(\d+\.?\d*|\.\d+)$/.test(grouped) ? grouped.replace(/^\./, "0.").replace(/\.$/, "") : null;
}
