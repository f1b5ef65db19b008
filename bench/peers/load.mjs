// The load: a fixed number of POSTs over kept connections, by autocannon.
//
//     node load.mjs URL CONNECTIONS REQUESTS BODY_FILE
//
// Prints JSON: how many answers had each status, errors, seconds, and latencies in milliseconds.
// autocannon's own histogram rounds to whole milliseconds, so the percentiles are made here.
import { readFileSync } from "node:fs";
import autocannon from "autocannon";

const [url, connections, requests, bodyFile] = process.argv.slice(2);
const statuses = {};
const latencies = [];

const started = performance.now();
let finished = started;
const run = autocannon({
  url,
  connections: Number(connections),
  amount: Number(requests),
  timeout: 30,
  sampleInt: 100, // also how often it looks whether it is done
  method: "POST",
  headers: { "content-type": "application/json" },
  body: readFileSync(bodyFile),
});
run.on("response", (_client, status, _bytes, milliseconds) => {
  statuses[status] = (statuses[status] ?? 0) + 1;
  latencies.push(milliseconds);
  finished = performance.now();
});
const { errors } = await run;

latencies.sort((a, b) => a - b);
const percentile = (share) => latencies[Math.ceil(share * latencies.length) - 1] ?? 0;
console.log(
  JSON.stringify({
    statuses,
    errors,
    seconds: (finished - started) / 1000,
    p50_ms: percentile(0.5),
    p99_ms: percentile(0.99),
  }),
);
