/** Sets the theme that was chosen before anything is painted; it is no module, because those run later. */

try {
  const chosen = localStorage.getItem("theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch {
  // Storage may be switched off: then the system decides.
}
