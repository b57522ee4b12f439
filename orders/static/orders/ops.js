/** Keeps the operators' first page fresh: every five seconds the server's panels, without flicker.
 *
 * Only what has changed is written, so the focus, an open form and the place on the page stay.
 */
const EVERY = 5000;
const LATE = 8000; // an answer that takes longer counts as none
const page = document.querySelector("[data-operations]");
const fresh = page.querySelector("[data-fresh]");
const dialog = document.getElementById("halt");
let asOf = new Date(page.dataset.asOf);
let fault = "";

function patch(old, next) {
  if (old.nodeType !== next.nodeType || old.nodeName !== next.nodeName) return old.replaceWith(next.cloneNode(true));
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.data !== next.data) old.data = next.data;
    return undefined;
  }
  for (const { name } of [...old.attributes]) {
    if (!next.hasAttribute(name) && name !== "open") old.removeAttribute(name);
  }
  for (const { name, value } of next.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  patchChildren(old, next);
  return undefined;
}

function patchChildren(old, next) {
  const [before, after] = [[...old.childNodes], [...next.childNodes]];
  after.forEach((node, place) => (before[place] ? patch(before[place], node) : old.append(node.cloneNode(true))));
  before.slice(after.length).forEach((node) => node.remove());
}

function show(told) {
  for (const [name, html] of Object.entries(told.panels)) {
    const panel = page.querySelector(`[data-panel="${name}"]`);
    const template = document.createElement("template");
    template.innerHTML = html.trim();
    // White space around the template's parts is not a change.
    const now = panel.cloneNode(false);
    now.append(template.content);
    trim(panel);
    trim(now);
    patchChildren(panel, now);
  }
  const verdict = page.querySelector('[data-panel="verdict"]');
  verdict.className = `verdict ${told.verdict.tone}`;
  asOf = new Date(told.asOf);
  document.title = document.title.replace(/^.*?(?= \|)/, told.title);
}

function trim(element) {
  for (const node of [...element.childNodes]) {
    if (node.nodeType === Node.TEXT_NODE && !node.data.trim()) node.remove();
  }
}

function tellAge() {
  const seconds = Math.max(0, Math.round((Date.now() - asOf) / 1000));
  const clock = asOf.toISOString().slice(11, 19);
  page.classList.toggle("stale", Boolean(fault) || seconds > 15);
  const text = fault ? `${fault}; as of ${clock} UTC` : `as of ${clock} UTC`;
  if (fresh.textContent !== text) fresh.textContent = text;
  if (fault && !document.title.startsWith(fault)) document.title = document.title.replace(/^.*?(?= \|)/, `${fault} · Engine`);
}

async function ask() {
  if (document.hidden) return;
  try {
    const answer = await fetch(page.dataset.operations, {
      headers: { accept: "application/json" },
      signal: AbortSignal.timeout(LATE),
    });
    const isJson = answer.headers.get("content-type")?.startsWith("application/json");
    if (answer.redirected || answer.status === 403) fault = "You are logged out";
    else if (!answer.ok || !isJson) fault = "The engine does not answer";
    else {
      const told = await answer.json();
      fault = "";
      show(told);
    }
  } catch {
    fault = "No connection";
  }
  tellAge();
}

async function keepAsking() {
  for (;;) {
    await new Promise((resume) => setTimeout(resume, EVERY));
    await ask();
  }
}

page.addEventListener("click", (event) => {
  const opener = event.target.closest("[data-dialog]");
  const closer = event.target.closest("[data-close]");
  if (opener) {
    event.preventDefault();
    dialog.showModal();
    dialog.querySelector("[name=why]").focus();
  } else if (closer) {
    event.preventDefault();
    dialog.close();
  }
});
addEventListener("visibilitychange", ask);
addEventListener("online", ask);
setInterval(tellAge, 1000);
tellAge();
keepAsking();
