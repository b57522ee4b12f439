/** Elements: found, made, and written to only where something changed. */

export const $ = (selector, root = document) => root.querySelector(selector);
export const all = (selector, root = document) => [...root.querySelectorAll(selector)];

/** Return a new element; `text` and `class` are set, other names are attributes. Null children are left out. */
export function el(name, { class: names, text, ...attributes } = {}, ...children) {
  const element = document.createElement(name);
  if (names) element.className = names;
  if (text !== undefined && text !== null) element.textContent = text;
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Return the drawing of the symbol `#i-NAME`, which trade.html has. */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

/** Write a text, unless it stands there already. */
export function write(element, text) {
  const next = text ?? "";
  if (element.textContent !== next) element.textContent = next;
}

/** Write an attribute, unless it stands there already; null removes it. */
export function mark(element, name, value) {
  if (value === null || value === undefined) element.removeAttribute(name);
  else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
}

/** Show a text, or hide its element if there is none. */
export function say(element, text) {
  write(element, text);
  element.hidden = !text;
}

/** Return a function that has `draw` run once, at the next frame, however often it is called before. */
export function frame(draw) {
  let asked = 0;
  return () => {
    asked ||= requestAnimationFrame(() => {
      asked = 0;
      draw();
    });
  };
}
