// Sends the form's message as a client would, and shows each error beside its field.
"use strict";

const form = document.getElementById("send");
const names = [...form.querySelectorAll("textarea")].map((field) => field.name);
const result = document.getElementById("result");
const follow = document.getElementById("follow");
// Poll the status once a second for 30 s: storing takes a second, a redelivery longer.
const POLLS = 30;
let asked = 0;

function data() {
  return Object.fromEntries(names.map((name) => [name, form.elements[name].value]));
}

// --- The same request with curl -------------------------------------------------------------

function quoted(text) {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

function showCurl() {
  const given = data();
  for (const name of names) given[name] ||= "some text";
  const lines = [
    `curl -i ${location.origin}/ -H 'Content-Type: application/json'`,
    `  -H "Authorization: Bearer $CPSITE_TOKEN"`,
    ...(form.elements.key.value ? [`  -H ${quoted(`Idempotency-Key: ${form.elements.key.value}`)}`] : []),
    `  -d ${quoted(JSON.stringify({ data: given }))}`,
  ];
  document.getElementById("curl").textContent = lines.join(" \\\n");
}

// Browsers offer the clipboard only to pages from HTTPS or localhost.
const copy = document.getElementById("copy");
if (navigator.clipboard) {
  copy.hidden = false;
  copy.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById("curl").textContent);
    copy.textContent = "Copied";
    setTimeout(() => { copy.textContent = "Copy"; }, 2000);
  });
}

// --- Errors -----------------------------------------------------------------------------------

function complain(name, text) {
  const field = form.elements[name];
  document.getElementById(`error-${name}`).textContent = text;
  field.setAttribute("aria-invalid", "true");
  field.closest("details")?.setAttribute("open", "");
  return field;
}

function clear() {
  for (const field of form.querySelectorAll("[aria-invalid]")) field.removeAttribute("aria-invalid");
  for (const error of form.querySelectorAll(".error[id]")) error.textContent = "";
  follow.hidden = true;
}

// Show the errors of an answer beside their fields. Return these fields.
function blame(answer) {
  const { code = "", detail = "", errors = {} } = answer;
  if (code.startsWith("token_")) return [complain("token", detail)];
  if (code.startsWith("idempotency_key")) return [complain("key", detail)];
  return Object.entries(errors)
    .map(([path, found]) => [path.replace(/^data\./, ""), found.map((error) => error.detail).join(" ")])
    .filter(([name]) => form.elements[name])
    .map(([name, text]) => complain(name, text));
}

// --- Sending ----------------------------------------------------------------------------------

function show(isRight, status, note, body) {
  result.hidden = false;
  result.className = `answer ${isRight ? "right" : "wrong"}`;
  document.getElementById("result-status").textContent = status;
  document.getElementById("result-note").textContent = note;
  document.getElementById("result-body").textContent = body;
}

async function send() {
  const headers = { "Content-Type": "application/json", Accept: "application/json" };
  if (form.elements.key.value) headers["Idempotency-Key"] = form.elements.key.value;
  const body = { data: data() };
  if (form.elements.token.value) body.token = form.elements.token.value;
  const answer = await fetch("/", { method: "POST", headers, body: JSON.stringify(body) });
  const said = await answer.json();
  const wait = answer.headers.get("Retry-After");
  const note = wait ? `Try again after ${wait} s.` : "";
  show(answer.ok, `${answer.status} ${answer.statusText}`, note, JSON.stringify(said, null, 2));
  const wrong = blame(said);
  (wrong[0] ?? result).scrollIntoView({ block: "nearest" });
  wrong[0]?.focus();
  if (answer.status === 202) followMessage(said.message_id, body.token, ++asked);
}

async function followMessage(id, token, number) {
  follow.hidden = false;
  for (let poll = 0; poll < POLLS && number === asked; poll += 1) {
    await new Promise((resolve) => { setTimeout(resolve, 1000); });
    const answer = await fetch(`/messages/${id}/`, {
      headers: { Authorization: `Bearer ${token}`, Accept: "application/json" },
    }).catch(() => null);
    const said = answer ? await answer.json() : {};
    if (number !== asked) return;
    follow.textContent = said.object_key ? `Stored as ${said.object_key}.` : `${said.status ?? "queued"} …`;
    if (said.status === "stored") return;
  }
}

form.addEventListener("input", showCurl);
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  clear();
  const button = form.querySelector("button");
  button.disabled = true;
  try {
    await send();
  } catch (error) {
    show(false, "No answer", "", String(error));
  } finally {
    button.disabled = false;
  }
});
showCurl();
