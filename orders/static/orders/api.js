// What a form without a script cannot send: DELETE, PATCH, and a body that was written by hand.
document.addEventListener("submit", async (event) => {
  const form = event.target;
  const method = event.submitter?.dataset.method ?? form.dataset.method;
  if (!method) return;
  event.preventDefault();
  const body = form.elements.namedItem("_content");
  const headers = { accept: "text/html", "x-csrftoken": document.body.dataset.csrf };
  if (body) headers["content-type"] = form.elements.namedItem("_content_type").value;
  const url = form.getAttribute("action");
  let answer;
  try {
    answer = await fetch(url, { method, headers, body: body?.value });
  } catch {
    say(form, "No answer came. Look whether it was done before you send it again.");
    return;
  }
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  document.title = page.title;
  document.body.replaceWith(page.body);
  document.querySelector("main").focus();
  scrollTo(0, 0);
});

function say(form, text) {
  const line = form.querySelector("[role=alert]") ?? document.createElement("p");
  line.setAttribute("role", "alert");
  line.className = "notice bad";
  line.textContent = text;
  form.prepend(line);
}
