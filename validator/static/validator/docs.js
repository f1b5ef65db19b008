"use strict";

const place = document.getElementById("swagger");
SwaggerUIBundle({
  url: place.dataset.schema,
  domNode: place,
  deepLinking: true,
  defaultModelsExpandDepth: 0,
  docExpansion: "list",
  tryItOutEnabled: true,
  // Our tests check the schema. Do not send it to an external validator.
  validatorUrl: null,
});
