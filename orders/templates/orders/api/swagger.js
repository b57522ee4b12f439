"use strict";

// Swagger's parts, laid out so that the page has one main part and headings in order, and that no
// button has a link in it.
const layout = ({ React: { createElement: h } }) => ({
  components: {
    DeepLink: ({ text }) => h("span", { className: "nostyle" }, text),
    EngineLayout({ getComponent, specSelectors }) {
      if (specSelectors.loadingStatus() === "failed") return h("p", { role: "alert" }, "The schema did not come. Load the page anew.");
      if (!specSelectors.specStr() || specSelectors.loadingStatus() !== "success") return h("p", { role: "status" }, "Loading …");
      const part = (name) => h(getComponent(name, true));
      return h(
        "div", { className: "swagger-ui" }, h(getComponent("SvgAssets")),
        h("div", { className: "scheme-container" }, part("AuthorizeBtnContainer")),
        part("operations"), part("Models"),
      );
    },
  },
});

const sendOurToken = (request) => {
  if (request.method && request.method !== "GET" && request.credentials === "same-origin") {
    request.headers["{{ csrf_header_name }}"] = "{{ csrf_token }}";
  }
  return request;
};

const ui = SwaggerUIBundle({
  url: "{{ schema_url|escapejs }}",
  dom_id: "#swagger-ui",
  presets: [SwaggerUIBundle.presets.apis],
  plugins: [layout],
  layout: "EngineLayout",
  requestInterceptor: sendOurToken,
  onComplete: fold,
  ...{{ settings|safe }},
});

// The paths of older systems are shown when somebody asks for them.
function fold() {
  if (!location.hash.startsWith("#/aliases")) ui.layoutActions.show(["operations-tag", "aliases"], false);
}

// Swagger names none of its choices, and no keyboard reaches its long examples.
new MutationObserver(() => {
  for (const choice of document.querySelectorAll("#swagger-ui select:not([aria-label])")) {
    choice.setAttribute("aria-label", choice.closest(".examples-select") ? "Example" : "Choice");
  }
  for (const text of document.querySelectorAll("#swagger-ui pre:not([tabindex])")) text.tabIndex = 0;
}).observe(document.getElementById("swagger-ui"), { childList: true, subtree: true });
