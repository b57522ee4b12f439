/** Light, dark, or as the system: the button and the key T go round. theme.js sets the choice before the first paint. */

import { $ } from "./dom.js";
import { words } from "./words.js";

const NEXT = { light: "dark", dark: "system", system: "light" };

export function start(desk) {
  const button = $("#theme");
  const root = document.documentElement;
  const show = () => (button.title = words.page.theme[root.dataset.theme ?? "system"]);
  const turn = () => {
    const isDark = matchMedia("(prefers-color-scheme: dark)").matches;
    const next = root.dataset.theme ? NEXT[root.dataset.theme] : isDark ? "light" : "dark";
    if (next === "system") delete root.dataset.theme;
    else root.dataset.theme = next;
    try {
      if (next === "system") localStorage.removeItem("theme");
      else localStorage.setItem("theme", next);
    } catch {
      // Storage may be switched off; then a reload forgets.
    }
    show();
  };
  button.addEventListener("click", turn);
  desk.keys.on("t", turn, words.keys.theme);
  show();
}
