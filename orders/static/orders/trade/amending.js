/** Cancelling and amending in the row itself: a question or some fields over its end, and no dialog. */

import { $, all, el } from "./dom.js";
import { seconds } from "./format.js";
import { sinceOf } from "./way.js";
import { titleOf } from "./wording.js";
import { words } from "./words.js";

const said = words.blotter;
const SHOWN = 8_000; // milliseconds that an answer stands in a row
const FIELDS = ["limitPrice", "triggerPrice", "activationPrice", "trailBps", "amountIn", "amountOut"];

/** Ask in the row whether to cancel; asked again, that is the yes. */
export function askToCancel(row, desk) {
  if ($(".ask[data-of=cancel]", row.element)) return cancel(row, desk);
  const { order } = row;
  if (!order || !desk.page.cancellable.includes(order.status)) return tell(row, tooLate(order));
  const yes = el("button", { class: "btn btn-small danger", type: "button", text: said.yesCancel });
  const keep = el("button", { class: "btn btn-small", type: "button", text: said.keep });
  yes.addEventListener("click", () => cancel(row, desk));
  keep.addEventListener("click", () => close(row));
  show(row, "cancel", el("p", {}, said.cancelAsk, " ", el("b", { text: titleOf(order) })), yes, keep);
  if (row.element.contains(document.activeElement) && document.activeElement !== row.element) yes.focus();
}

async function cancel(row, desk) {
  show(row, "cancelling", el("p", { class: "unit", text: said.cancelling }));
  const answer = await desk.act.cancel(row.id);
  if (answer.ok) {
    desk.orders.take(answer.body.order ?? answer.body);
    return close(row);
  }
  tell(row, cancelRefused(answer, row.order));
}

function cancelRefused({ isLost, body }, order) {
  if (isLost) return { text: said.unknown };
  if (body.error === "not_cancellable") return tooLate(order, body.orderStatus, body.error);
  return { text: body.detail ?? said.refused, code: body.error };
}

function tooLate(order, status = order?.status, code = "not_cancellable") {
  if (status !== "submitted") return { text: said.hasEnded(words.status[status] ?? status), code: `409 ${code}` };
  const ago = order?.status === "submitted" ? seconds(Math.max(0, Date.now() - sinceOf(order))) : "";
  return { text: said.tooLate(ago), code: `409 ${code}` };
}

/** Show the fields of a resting order that can be amended, as they are now. */
export function askToAmend(row, desk) {
  const { order } = row;
  if (order?.status !== "open") return tell(row, { text: said.restsNoMore });
  const names = FIELDS.filter((name) => order[name] !== undefined && order[name] !== null);
  const isSliced = order.type === "twap";
  const inputs = names.filter((name) => !isSliced || !name.startsWith("trigger")).map((name) =>
    el("label", {}, el("span", { class: "label", text: said.fields[name] }),
      el("input", { name, value: String(order[name]), inputmode: "decimal", autocomplete: "off", size: 9 })));
  const form = el("form", { class: "amend", novalidate: true }, ...inputs,
    el("button", { class: "btn btn-small", text: said.save }), el("button", { class: "btn btn-small", type: "button", text: said.keep }));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    amend(row, desk, order, form);
  });
  form.lastChild.addEventListener("click", () => close(row, true));
  show(row, "amend", form);
  $("input", form)?.select();
}

async function amend(row, desk, before, form) {
  const changes = {};
  for (const { name, value } of all("input", form)) {
    const plain = value.trim().replaceAll(",", "");
    if (plain !== String(before[name])) changes[name] = name === "trailBps" && /^\d+$/.test(plain) ? Number(plain) : plain;
  }
  if (Object.keys(changes).length === 0) return close(row, true);
  const answer = await desk.act.amend(row.id, before.seq, changes);
  if (answer.ok) {
    desk.orders.take(answer.body.order ?? answer.body);
    close(row, true);
    return desk.announce(said.amended(titleOf(row.order)));
  }
  const { body, isLost } = answer;
  if (isLost) return tell(row, { text: said.unknown });
  if (body.error === "order_changed" || body.error === "not_amendable") {
    await desk.orders.load(row.id);
    const status = body.orderStatus ?? row.order.status;
    return tell(row, { text: status === "open" ? said.changedMeanwhile : said.leftMeanwhile(words.status[status] ?? status), code: `409 ${body.error}` });
  }
  const [wrong] = body.errors ?? [];
  const input = wrong && form.elements[wrong.field];
  if (!input) return tell(row, { text: body.detail ?? said.refused, code: body.error });
  input.setAttribute("aria-invalid", "true");
  $(".error", form)?.remove();
  form.append(el("p", { class: "error", role: "alert", text: wrong.message }));
  input.focus();
}

/** Put something over the end of a row; it keeps its height, and all others their places. */
function show(row, of, ...children) {
  clearTimeout(row.closing);
  $(".ask", row.element)?.remove();
  row.acts.append(el("div", { class: "ask", "data-of": of }, ...children));
}

function tell(row, { text, code = "" }) {
  show(row, "told", el("p", { role: "alert" }, text, " ", el("span", { class: "unit", text: code })));
  row.closing = setTimeout(() => close(row), SHOWN);
}

/** Take away what stands over a row. Returns whether something did. */
export function close(row, takesFocus = false) {
  const found = $(".ask", row.element);
  clearTimeout(row.closing);
  if (!found) return false;
  const hadFocus = takesFocus || found.contains(document.activeElement);
  found.remove();
  if (hadFocus) row.element.focus();
  return true;
}
