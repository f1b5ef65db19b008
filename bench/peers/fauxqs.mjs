// SQS for the benchmark: fauxqs on loopback, which also counts the calls it gets.
//
//     node fauxqs.mjs PORT [DELAY]
//
// Each answer waits for DELAY ms, as over a network.
// GET /_bench/calls answers with the number of calls of each SQS action so far.
import { buildApp } from "fauxqs";

const calls = {};
const delay = Number(process.argv[3] ?? 0);
// Not startFauxqs: that one listens on all interfaces.
const app = buildApp({ logger: false });
app.addHook("onRequest", (request, _reply, done) => {
  const action = request.headers["x-amz-target"]?.split(".")[1];
  if (action) calls[action] = (calls[action] ?? 0) + 1;
  if (action && delay) setTimeout(done, delay);
  else done();
});
app.get("/_bench/calls", async () => calls);
await app.listen({ port: Number(process.argv[2]), host: "127.0.0.1" });
