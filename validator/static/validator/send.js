// Sends the form's message as a client would, and shows each error beside its field.
"use strict";

const form = document.getElementById("send");
// Not form.action: a field of the contract may have that name.
const target = form.getAttribute("action");
const contents = form.querySelector("fieldset");
const inputs = new Map([...contents.querySelectorAll("[data-kind]")].map((field) => [field.name, field]));
const result = document.getElementById("result");
const receipt = document.getElementById("receipt");
const follow = document.getElementById("follow");
// Poll the status once a second for 30 s: storing takes a second, a redelivery longer.
const POLLS = 30;
let asked = 0;

// --- The message as JSON --------------------------------------------------------------------
// Written by hand: a number of JavaScript would turn 1.10 into 1.1, and round what is long.

const NUMBER = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/;

function isJSON(text) {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

// The JSON of an input. What is not of its kind is sent as a text, and the answer says what is wrong.
function written({ value, dataset }) {
  const isIt = {
    integer: (text) => NUMBER.test(text),
    decimal: (text) => NUMBER.test(text),
    boolean: () => true,
    list: isJSON,
  }[dataset.kind];
  return isIt?.(value) ? value : JSON.stringify(value);
}

// The members of an object, from the inputs directly in its fieldset. `write` may leave one out.
function members(fieldset, write) {
  const found = [];
  for (const each of fieldset.querySelectorAll("[data-name]")) {
    if (each.parentElement.closest("fieldset") !== fieldset) continue;
    const text = each.matches("fieldset") ? object(each, write) : write(each);
    if (text !== undefined) found.push(`${JSON.stringify(each.dataset.name)}: ${text}`);
  }
  return found;
}

function object(fieldset, write) {
  const isEmpty = [...fieldset.querySelectorAll("[data-kind]")].every((field) => !field.value);
  // Left out as a whole: its texts that must be there would be sent, and refused.
  if (isEmpty && "optional" in fieldset.dataset) return undefined;
  return `{${members(fieldset, write).join(", ")}}`;
}

// An empty input is not sent, unless it is a text that must be there.
function given(field) {
  const isLeftOut = !field.value && ("optional" in field.dataset || field.dataset.kind !== "text");
  return isLeftOut ? undefined : written(field);
}

function givenOrExample(field) {
  if (field.value) return written(field);
  return "optional" in field.dataset ? undefined : field.dataset.example;
}

// --- The same request with curl -------------------------------------------------------------

function quoted(text) {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

function showCurl() {
  const key = document.getElementById("key").value;
  const lines = [
    `curl -i ${location.origin}${target} -H 'Content-Type: application/json'`,
    `  -H "Authorization: Bearer $CPSITE_TOKEN"`,
    ...(key ? [`  -H ${quoted(`Idempotency-Key: ${key}`)}`] : []),
    `  -d ${quoted(`{"data": ${object(contents, givenOrExample)}}`)}`,
  ];
  document.getElementById("curl").textContent = lines.join(" \\\n");
}

// --- Errors -----------------------------------------------------------------------------------

function complain(field, error, text) {
  error.textContent = text;
  field.setAttribute("aria-invalid", "true");
  field.closest("details")?.setAttribute("open", "");
  return field;
}

function complainOf(id, text) {
  return complain(document.getElementById(id), document.getElementById(`${id}-error`), text);
}

// The input of a path such as `data.address.street`, or of a list's item, `data.tags.3`.
function inputOf(path) {
  const names = path.split(".").slice(1);
  for (; names.length; names.pop()) {
    const found = inputs.get(names.join("."));
    if (found) return found;
  }
  return undefined;
}

function clear() {
  for (const field of form.querySelectorAll("[aria-invalid]")) field.removeAttribute("aria-invalid");
  for (const error of form.querySelectorAll(".error")) error.textContent = "";
  receipt.hidden = true;
  follow.hidden = true;
}

// Show the errors of an answer beside their fields. Return these fields.
function blame(answer) {
  const { code = "", detail = "", errors = {} } = answer;
  if (code.startsWith("token_")) return [complainOf("token", detail)];
  if (code.startsWith("idempotency_key")) return [complainOf("key", detail)];
  return Object.entries(errors)
    .map(([path, found]) => [inputOf(path), found.map((error) => error.detail).join(" ")])
    .filter(([field]) => field)
    .map(([field, text]) => complain(field, document.getElementById(`error-${field.name}`), text));
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
  const key = document.getElementById("key").value;
  if (key) headers["Idempotency-Key"] = key;
  const token = document.getElementById("token").value;
  const withToken = token ? `"token": ${JSON.stringify(token)}, ` : "";
  const body = `{${withToken}"data": ${object(contents, given)}}`;
  const answer = await fetch(target, { method: "POST", headers, body });
  const said = await answer.json();
  const wait = answer.headers.get("Retry-After");
  const note = wait ? `Try again after ${wait} s.` : "";
  show(answer.ok, `${answer.status} ${answer.statusText}`, note, JSON.stringify(said, null, 2));
  const wrong = blame(said);
  (wrong[0] ?? result).scrollIntoView({ block: "nearest" });
  wrong[0]?.focus();
  if (answer.status !== 202) return;
  document.getElementById("message-id").textContent = said.message_id;
  receipt.hidden = false;
  followMessage(said.message_id, token, ++asked);
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
