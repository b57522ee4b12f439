/** The engine's state in the top bar: workers, what waits, how many may start. */

import { $, mark, write } from "./dom.js";
import { number } from "./format.js";
import { SteadySocket } from "./steady.js";
import { words } from "./words.js";

const SILENCE = 8_000; // milliseconds without a frame, after which nothing is known

export function start(desk) {
  if (!desk.me.value.account && !desk.me.value.mayTradeAnonymously) return;
  desk.engine.subscribe(draw);
  new SteadySocket("/ws/engine", SILENCE, (state) => desk.engine.set(state));
}

function draw(state) {
  for (const name of ["workers", "waiting", "starts"]) $(`#${name}`).hidden = !state;
  if (!state) return;
  const { workers, waiting, oldestSeconds, budgetLeft, budget } = state;
  write($("#workers b"), number(workers, 0));
  write($("#waiting b"), number(waiting, 0));
  mark($("#waiting"), "title", words.vitals.waiting(waiting ? Math.round(oldestSeconds) : null));
  const starts = $("#starts");
  starts.hidden = budgetLeft === null;
  write($("b", starts), number(budgetLeft, 0));
  write($("em", starts), `/${number(budget, 0)}`);
  const meter = $("meter", starts);
  Object.assign(meter, { max: budget ?? 1, low: (budget ?? 1) / 5, value: budgetLeft ?? 0 });
}
