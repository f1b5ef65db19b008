// More requests than a service can answer: so many POSTs a second, whether answers come or not.
//
//     node overload.mjs URL REQUESTS_PER_SECOND SECONDS BODY_FILE
//
// Each request takes a connection that is free, or a new one, as a load balancer does. Its latency
// begins when it was due. Prints JSON: for each status how many answers, and their latencies in
// milliseconds; errors by their code; seconds from the first request to the last answer.
import { readFileSync } from "node:fs";
import http from "node:http";

const [url, rate, seconds, bodyFile] = process.argv.slice(2);
const body = readFileSync(bodyFile);
const total = Math.round(Number(rate) * Number(seconds));
const agent = new http.Agent({ keepAlive: true, maxSockets: 4096, maxFreeSockets: 4096 });
const options = {
  agent,
  method: "POST",
  headers: { "content-type": "application/json", "content-length": body.length },
  timeout: 30_000,
};
const latencies = {};
const errors = {};
let sent = 0;
let ended = 0;

const started = performance.now();
await new Promise((resolve) => {
  const end = () => {
    ended += 1;
    if (ended === total) resolve();
  };
  const send = () => {
    const due = started + (sent * 1000) / Number(rate);
    sent += 1;
    const request = http.request(url, options, (answer) => {
      answer.resume();
      answer.on("end", () => {
        (latencies[answer.statusCode] ??= []).push(performance.now() - due);
        end();
      });
      answer.on("error", fail);
    });
    const fail = (error) => {
      errors[error.code] = (errors[error.code] ?? 0) + 1;
      end();
    };
    request.on("timeout", () => request.destroy(Object.assign(new Error(), { code: "TIMEOUT" })));
    request.on("error", fail);
    request.end(body);
  };
  const timer = setInterval(() => {
    const due = Math.min(total, ((performance.now() - started) * Number(rate)) / 1000);
    while (sent < due) send();
    if (sent === total) clearInterval(timer);
  }, 2);
});
const finished = performance.now();

const percentile = (sorted, share) => sorted[Math.ceil(share * sorted.length) - 1];
const answers = Object.fromEntries(
  Object.entries(latencies).map(([status, all]) => {
    all.sort((a, b) => a - b);
    const [p50_ms, p99_ms] = [percentile(all, 0.5), percentile(all, 0.99)];
    return [status, { answers: all.length, p50_ms, p99_ms }];
  }),
);
agent.destroy();
console.log(JSON.stringify({ answers, errors, seconds: (finished - started) / 1000 }));
