"use strict";

const place = document.getElementById("swagger");
SwaggerUIBundle({
  url: place.dataset.schema,
  domNode: place,
  deepLinking: true,
  defaultModelsExpandDepth: 0,
  docExpansion: "list",
  tryItOutEnabled: true,
  // The schema is checked by our tests, and not sent to anybody's service.
  validatorUrl: null,
});
