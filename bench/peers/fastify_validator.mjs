// A peer of our validator: Fastify and the AWS SDK v3, one SendMessage for each request.
//
// Written as a team would that follows the guides of both: JSON schemas for what comes in and goes
// out, a hook for the token, one process for each core, keep-alive to SQS (the SDK's default). The
// same contract and the same answer as ours; no audit log, metrics, throttling or log line.
import cluster from "node:cluster";
import { createHash, randomUUID, timingSafeEqual } from "node:crypto";
import { SendMessageCommand, SQSClient } from "@aws-sdk/client-sqs";
import Fastify from "fastify";

// As many as ours.
const WORKERS = 2;
const MAX_BODY_BYTES = 327_680;
const MAX_FIELD_LENGTH = 65_536;

const text = {
  type: "string",
  maxLength: MAX_FIELD_LENGTH,
  pattern: "\\S",
  not: { pattern: "\\u0000" },
};
const fields = ["field1", "field2", "field3", "field4"];
const schema = {
  body: {
    type: "object",
    required: ["token", "data"],
    additionalProperties: false,
    properties: {
      token: { type: "string" },
      data: {
        type: "object",
        required: fields,
        additionalProperties: false,
        properties: Object.fromEntries(fields.map((name) => [name, text])),
      },
    },
  },
  response: {
    202: {
      type: "object",
      properties: { message_id: { type: "string" }, status: { type: "string" } },
    },
  },
};

const digest = (token) => createHash("sha256").update(token).digest();

async function serve() {
  const known = digest(process.env.API_TOKENS);
  const queueUrl = process.env.SQS_QUEUE_URL;
  // The default of 50 would let requests wait for a socket under the largest load.
  const agent = { maxSockets: 128 };
  const sqs = new SQSClient({ requestHandler: { httpAgent: agent, httpsAgent: agent } });

  const app = Fastify({
    bodyLimit: MAX_BODY_BYTES,
    // Refuse what does not fit, where the defaults would convert or drop it.
    ajv: { customOptions: { coerceTypes: false, removeAdditional: false } },
  });

  app.post("/", {
    schema,
    preValidation: async (request, reply) => {
      const token = request.body?.token;
      if (typeof token !== "string" || !timingSafeEqual(digest(token), known)) {
        return reply.code(401).send({ code: "token_unknown" });
      }
    },
    handler: async (request, reply) => {
      const message_id = randomUUID();
      const message = {
        message_id,
        accepted_at: new Date().toISOString(),
        client: "default",
        data: request.body.data,
      };
      await sqs.send(
        new SendMessageCommand({ QueueUrl: queueUrl, MessageBody: JSON.stringify(message) }),
      );
      return reply.code(202).send({ message_id, status: "queued" });
    },
  });

  await app.listen({ host: "127.0.0.1", port: Number(process.env.PORT) });
}

if (cluster.isPrimary) {
  for (let number = 0; number < WORKERS; number += 1) cluster.fork();
} else {
  await serve();
}
