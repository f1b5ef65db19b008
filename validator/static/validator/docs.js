"use strict";

// Swagger UI has a dark theme; the page says when.
const dark = matchMedia("(prefers-color-scheme: dark)");
const followTheme = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
followTheme();
dark.addEventListener("change", followTheme);

// What Swagger UI leaves without a name, or out of a keyboard's reach.
const NAMES = {
  ".examples-select-element": "Example",
  "textarea.body-param__text": "Request body",
  ".close-modal": "Close",
};
function nameAll(place) {
  for (const [selector, name] of Object.entries(NAMES)) {
    for (const each of place.querySelectorAll(`${selector}:not([aria-label])`)) each.ariaLabel = name;
  }
  for (const each of place.querySelectorAll("pre:not([tabindex])")) each.tabIndex = 0;
}

// Paths are links inside of buttons otherwise. Opening an operation still changes the address.
const PathsAreTexts = () => ({
  wrapComponents: {
    DeepLink: (_original, { React }) => ({ text }) => React.createElement("span", null, text),
  },
});

const place = document.getElementById("swagger");
new MutationObserver(() => nameAll(place)).observe(place, { childList: true, subtree: true });
SwaggerUIBundle({
  url: place.dataset.schema,
  domNode: place,
  deepLinking: true,
  defaultModelsExpandDepth: 0,
  docExpansion: "list",
  tryItOutEnabled: true,
  plugins: [PathsAreTexts],
  // Our tests check the schema. Do not send it to an external validator.
  validatorUrl: null,
});
