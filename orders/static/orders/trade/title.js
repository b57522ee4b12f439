/** What happens while nobody looks: told in the title, and by a notification where the person allowed it. */

import { $, mark } from "./dom.js";
import { price } from "./format.js";
import { words } from "./words.js";
import { titleOf } from "./wording.js";

const FIRED = new Set(["triggered", "released"]);
const MOST = 3; // of what happened, in the title

export function start(desk) {
  let news = [];
  const draw = () => {
    const market = desk.market.value;
    const { reference, bid } = desk.prices.of(market);
    const now = reference ?? bid;
    const latest = news.slice(-MOST).toReversed().join(" · ");
    document.title = [latest, now ? `${market} ${price(now, market)}` : market, words.page.name].filter(Boolean).join(" · ");
  };
  const tell = (order, text) => {
    desk.announce(text);
    if (!document.hidden && document.hasFocus()) return;
    news.push(text);
    draw();
    notify(order, text);
  };
  desk.orders.subscribe((order, event, before) => {
    if (!event || !before || !order.type || order.type === "market") return;
    if (FIRED.has(event.event)) tell(order, words.page.fired(titleOf(order)));
    else if (desk.orders.isFinal(order) && !desk.orders.isFinal(before)) tell(order, words.page.ended(titleOf(order), words.status[order.status]));
  });
  const seen = () => {
    if (document.hidden) return;
    news = [];
    draw();
  };
  document.addEventListener("visibilitychange", seen);
  addEventListener("focus", seen);
  desk.prices.subscribe((market) => market === desk.market.value && draw());
  desk.market.subscribe(draw);
  startBell();
}

function notify(order, text) {
  if (!("Notification" in window) || Notification.permission !== "granted") return;
  try {
    new Notification(text, { tag: order.orderId, icon: $("link[rel=icon]").href });
  } catch {
    // Some phones have notifications for workers of a page alone.
  }
}

/** The bell asks for notifications, which a browser allows only after a press. */
function startBell() {
  const bell = $("#bell");
  if (!("Notification" in window) || !window.isSecureContext) return;
  const draw = () => {
    const { permission } = Notification;
    bell.hidden = permission === "denied";
    mark(bell, "aria-pressed", String(permission === "granted"));
    bell.title = permission === "granted" ? words.page.bellOn : words.page.bellOff;
  };
  bell.addEventListener("click", async () => {
    await Notification.requestPermission();
    draw();
  });
  draw();
}
