// What every page does: light or dark, as the person chose on any of them, and times of the
// person's own clock. The admin keeps the choice under the same name.
const root = document.documentElement;
const system = matchMedia("(prefers-color-scheme: dark)");
let chosen = kept();

show();
system.addEventListener("change", show);
document.addEventListener("DOMContentLoaded", () => {
  for (const button of document.querySelectorAll("[data-turns=theme]")) button.hidden = false;
  for (const time of document.querySelectorAll("time[datetime]")) tellLocally(time);
});
document.addEventListener("click", (event) => {
  if (!event.target.closest?.("[data-turns=theme]")) return;
  chosen = isDark() ? "light" : "dark";
  keep(chosen);
  show();
});

function isDark() {
  return chosen === "light" || chosen === "dark" ? chosen === "dark" : system.matches;
}

function show() {
  root.dataset.theme = isDark() ? "dark" : "light";
  root.classList.toggle("dark-mode", isDark()); // Swagger's own name for it
}

function kept() {
  try {
    return localStorage.getItem("theme");
  } catch {
    return null; // the browser keeps nothing for us
  }
}

function keep(theme) {
  try {
    localStorage.setItem("theme", theme);
  } catch {
    // The choice holds for this page.
  }
}

// Write 2026-11-29 23:09, and in its title the same in UTC as the server wrote it.
function tellLocally(time) {
  const at = new Date(time.dateTime);
  const two = (number) => String(number).padStart(2, "0");
  const day = [at.getFullYear(), two(at.getMonth() + 1), two(at.getDate())].join("-");
  time.title = time.textContent;
  time.textContent = `${day} ${two(at.getHours())}:${two(at.getMinutes())}`;
}
