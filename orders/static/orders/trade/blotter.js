/** The blotter: the reader's orders as a live table. */

import { $ } from "./dom.js";

export function start(desk) {
  const draw = () => ($("#blotter-empty").hidden = desk.orders.all().length > 0);
  desk.orders.subscribe(draw);
  draw();
}
