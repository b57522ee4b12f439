/** What a person has to know at once: offline, a line that is lost, no worker, trading halted. And the link in the top bar. */

import { $, mark, say, write } from "./dom.js";
import { clock } from "./format.js";
import { words } from "./words.js";

const SOON = 2_000; // a line that comes back within this time is not worth a banner

export function start(desk) {
  const place = $("#link");
  const part = (name) => $(`[data-part=${name}]`, place);
  part("now").addEventListener("click", desk.retry);

  const draw = () => {
    const link = desk.link.value;
    mark(place, "data-state", link.state === "live" ? "live" : "lost");
    write(part("text"), words.link[link.state](link.retryAt ? Math.max(0, Math.ceil((link.retryAt - Date.now()) / 1000)) : null));
    write(part("latency"), link.state === "live" && link.latency !== null ? `${Math.round(link.latency)} ms` : "");
    part("now").hidden = link.state !== "reconnecting" || link.isFirst;
    document.body.dataset.link = link.state;
    const [text, isBad] = bannerOf(desk);
    say($("#banner"), text);
    $("#banner").classList.toggle("bad", Boolean(isBad));
  };
  desk.link.subscribe(draw);
  desk.engine.subscribe(draw);
  desk.orders.subscribe(draw);
  setInterval(draw, 1_000);

  let before = null;
  desk.link.subscribe(({ state, isFirst }) => {
    if (before && before !== state && !isFirst && (before === "live" || state === "live")) desk.announce(words.link.told[state]);
    before = state;
  });
}

function bannerOf({ link, engine, orders }) {
  const { state, since, asOf } = link.value;
  const underWay = orders.all().filter((order) => !orders.isFinal(order)).length;
  if (state === "offline") return [words.banner.offline(underWay, clock(asOf)), true];
  if (state === "loggedOut") return [words.banner.loggedOut, true];
  if (state === "reconnecting" && asOf && Date.now() - since > SOON) return [words.banner.lost(underWay, clock(asOf))];
  if (engine.value?.state === "halted") return [words.banner.halted, true];
  if (engine.value?.workers === 0) return [words.banner.noWorker(engine.value)];
  return [""];
}
