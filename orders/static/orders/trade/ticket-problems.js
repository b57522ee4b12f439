/** What the engine refuses, in a person's words and beside the field that it is about. */

import { $, all, mark, say } from "./dom.js";
import { price } from "./format.js";
import { words } from "./words.js";

const text = words.ticket;
/** The field of the ticket for a field of the API, where they are called otherwise. */
const PLACES = {
  amountIn: "amount-in",
  amount: "amount-in",
  amountOut: "amount-out",
  slippageBps: "slippage",
  slippage: "slippage",
  maxPriceImpactBps: "impact",
  venues: "venues",
  excludeVenues: "venues",
  takeProfit: "field-takeProfit-limitPrice",
  stopLoss: "field-stopLoss-triggerPrice",
  "stopLoss.trailBps": "field-stopLoss-triggerPrice",
  durationSeconds: "field-intervalSeconds",
  expiresInSeconds: "till",
  expiresAt: "till",
};

export const placeOf = (field) => PLACES[field] ?? `field-${String(field).replaceAll(".", "-")}`;

export function clearProblems() {
  for (const place of all("#ticket .error")) say(place, "");
  for (const field of all("#ticket [aria-invalid]")) field.removeAttribute("aria-invalid");
  for (const box of all("#ticket .wrong")) box.classList.remove("wrong");
}

/** Show texts beside their fields, by the fields' ids; "ticket" is for what is about no field. */
export function showProblems(found, { focus = false } = {}) {
  clearProblems();
  for (const [id, message] of found) {
    const field = document.getElementById(id);
    const place = document.getElementById(`${id}-error`);
    say(place ?? $("#ticket-error"), message);
    if (!field || !place) continue;
    mark(field, "aria-invalid", "true");
    field.closest(".amount, .price")?.classList.add("wrong");
    place.closest("details")?.setAttribute("open", "");
  }
  if (focus) $("#ticket [aria-invalid]")?.focus();
}

/** Return the texts of a refusal, by the fields' ids. */
export function problemsOf({ body, isLost }, order) {
  if (isLost) return new Map([["ticket", text.lost]]);
  if (!body?.errors) return new Map([["ticket", text.refused[body?.error] ?? text.refused.any]]);
  return new Map(body.errors.map((error) => [knownPlace(error.field), wordsOf(error, order)]));
}

function knownPlace(field) {
  const id = placeOf(field);
  return document.getElementById(`${id}-error`) ? id : "ticket";
}

function wordsOf({ field, code, ...more }, order) {
  const market = `${order.baseToken}/${order.quoteToken}`;
  switch (code) {
    case "would_trigger_immediately":
      return text.wrong.would_trigger_immediately(more.price && price(more.price, market));
    case "amount_below_minimum":
      return text.wrong.amount_below_minimum(more.minimum);
    case "slice_below_minimum":
      return text.wrong.slice_below_minimum(more.maxSlices);
    case "too_precise":
      return text.wrong.too_precise_any;
    case "out_of_range":
      return /amount/i.test(field) ? text.wrong.zero : text.wrong.out_of_range();
    default:
      return typeof text.wrong[code] === "string" ? text.wrong[code] : text.wrong.any;
  }
}
