/** The four views at the thumb of a phone: each leads to its panel, and the one in sight is marked. */

import { $, all, mark } from "./dom.js";

export function start() {
  const links = all(".bottom a");
  const bottom = $(".bottom");
  if (!bottom) return;
  const show = (link) => links.forEach((one) => mark(one, "aria-current", one === link ? "true" : null));
  links.forEach((link) => link.addEventListener("click", () => show(link)));
  const byTarget = new Map(links.map((link) => [$(link.getAttribute("href")), link]));
  const seen = new IntersectionObserver((entries) => {
    const first = entries.find(({ isIntersecting }) => isIntersecting);
    if (first) show(byTarget.get(first.target));
  }, { rootMargin: "-50% 0px -49%" });
  for (const target of byTarget.keys()) if (target) seen.observe(target);
}
