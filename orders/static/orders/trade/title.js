/** The page's title: the price, and what happened while nobody looked. */

import { words } from "./words.js";

export function start(desk) {
  const market = () => desk.market.value;
  let news = [];
  const draw = () => {
    const { reference, bid } = desk.prices.of(market());
    const now = reference ?? bid;
    const name = now ? `${market()} ${Number(now).toPrecision(6)}` : market();
    document.title = `${news.length ? `${news.at(-1)} · ` : ""}${name} · ${words.page.name}`;
  };
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) news = [];
    draw();
  });
  desk.prices.subscribe((name) => name === market() && draw());
  desk.market.subscribe(draw);
  void news;
}
