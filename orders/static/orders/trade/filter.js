/** What was typed into the filter: words that the engine knows become its filters, the rest names an order. */

import { marketOf } from "./way.js";
import { shortId } from "./format.js";
import { words } from "./words.js";

const END_OF_ID = /^[0-9a-f-]{6,36}$/;
const NAME = /^[A-Za-z0-9._:-]{1,128}$/;

export class Filter {
  constructor(text, page) {
    this.text = text.trim();
    Object.assign(this, { statuses: [], types: [], sides: [], venues: [], tokens: [], markets: [], names: [] });
    for (const word of this.text.split(/\s+/).filter(Boolean)) this.read(word, page);
  }

  get isEmpty() {
    return this.text === "";
  }

  read(word, { venues, markets, tokens }) {
    const plain = word.toLowerCase().replace(/[_-]/g, "");
    const named = (all) => Object.keys(all).find((name) => name.toLowerCase() === plain || all[name].toLowerCase().replace(" ", "") === plain);
    const market = markets.find((one) => one.market.toLowerCase() === word.toLowerCase());
    const token = tokens.find(({ symbol }) => symbol.toLowerCase() === word.toLowerCase());
    const [status, type] = [named(words.status), named(words.type)];
    const venue = Object.keys(venues).find((name) => name === plain);
    if (status) this.statuses.push(status);
    else if (type) this.types.push(type);
    else if (plain === "buy" || plain === "sell") this.sides.push(plain);
    else if (venue) this.venues.push(venue);
    else if (market) this.markets.push(market.market);
    else if (token) this.tokens.push(token.symbol);
    else this.names.push(word.replace(/^…|…$/g, ""));
  }

  passes(order) {
    const isOneOf = (some, value) => some.length === 0 || some.includes(value);
    return (
      isOneOf(this.statuses, order.status) && isOneOf(this.types, order.type) && isOneOf(this.sides, order.side) &&
      isOneOf(this.venues, order.routedDex) && isOneOf(this.markets, marketOf(order)) &&
      this.tokens.every((token) => order.baseToken === token || order.quoteToken === token) &&
      this.names.every((name) => isNamed(order, name))
    );
  }

  /** Return the parameters of `GET /api/orders` that find at least what passes. */
  get query() {
    const found = {};
    const set = (name, some, isList) => some.length && (isList || some.length === 1) && (found[name] = some.join());
    set("status", this.statuses, true);
    set("type", this.types, true);
    set("side", this.sides);
    set("venue", this.venues);
    set("market", this.markets);
    if (this.names.length === 1 && this.canBeFound(this.names[0])) found.q = this.names[0];
    return found;
  }

  /** Return the body of `POST /api/orders/cancel-all` that means the same; null: it cannot say that. */
  get ofCancelAll() {
    if ([this.statuses, this.venues, this.tokens, this.names].some((some) => some.length)) return null;
    if (this.sides.length > 1 || this.markets.length > 1) return null;
    return {
      ...(this.sides.length ? { side: this.sides[0] } : {}),
      ...(this.markets.length ? { market: this.markets[0] } : {}),
      ...(this.types.length ? { types: this.types } : {}),
    };
  }

  /** The engine finds whole names, and ends of ids; the beginning of a hash is looked for among what is here. */
  canBeFound(name) {
    return NAME.test(name) && (END_OF_ID.test(name.toLowerCase()) || name.length < 20 || name.length > 63);
  }
}

function isNamed({ orderId, txHash, clientOrderId }, name) {
  const plain = name.toLowerCase();
  return (
    orderId.endsWith(plain) || shortId(orderId).endsWith(plain) ||
    Boolean(txHash?.startsWith(name)) || Boolean(clientOrderId?.toLowerCase().includes(plain))
  );
}
