// The page: a table of scores and a list of signals, kept live by one WebSocket.
"use strict";

const STALE_MS = 180_000; // a one-minute score is old after three bars
const SIGNALS_MAX = 20;
const scores = new Map(); // instrument -> row
const signals = new Map(); // signal_id -> row
const body = document.querySelector("#scores tbody");
const list = document.querySelector("#signals");
const banner = document.querySelector("#banner");
const state = document.querySelector("#state");
const filter = document.querySelector("#filter");
const door = document.querySelector("#door");
const answer = document.querySelector("#answer");
const STATUS_MS = 5_000;
const FORMING_MS = 250; // between two drawings of what moves inside its bar
let simulated = null, newest = { at: 0, heard: 0 }; // null until the server told
let reasons = []; // why the server is not ready
let socket, retry = 500, waiting, drawing = false, moving = null, connected = false, admitted = false, refused = false, lost = 0;

const key = (row) => `${row.exchange}|${row.market}|${row.symbol}`;
const fixed = (value, digits) => (value == null ? "–" : value.toFixed(digits));
const percent = (value) => (value == null ? "–" : `${Math.round(value * 100)} %`);
const price = (value) => (value == null ? "–" : value.toLocaleString("en-US", { maximumSignificantDigits: 8 }));
const side = (word) => ({ BUY: "up", BULLISH: "up", SELL: "down", BEARISH: "down" })[word] ?? "";

function age(ms) {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 120) return `${s} s`;
  if (s < 7200) return `${Math.floor(s / 60)} min`;
  return s < 172800 ? `${Math.floor(s / 3600)} h` : `${Math.floor(s / 86400)} d`;
}

function element(tag, text, className) {
  const made = document.createElement(tag);
  if (text != null) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function cell(name, text, className) {
  const made = element("td", text, className);
  made.dataset.name = name;
  return made;
}

function scoreRow(row, active) {
  const line = element("tr");
  line.dataset.key = key(row);
  line.dataset.at = Date.parse(row.ts_close);
  if (row.forming) line.classList.add("forming");
  const head = element("th");
  head.scope = "row";
  const link = element("a", row.symbol);
  link.href = `/api/analysis/${encodeURIComponent(row.symbol)}?exchange=${row.exchange}&market=${row.market}`;
  head.append(link, element("span", ` ${row.exchange} ${row.market}`, "where"));
  const score = cell("Confluence", null, "number wide");
  const gauge = element("meter");
  Object.assign(gauge, { min: 0, max: 100, low: 30, high: 70, optimum: 100, value: row.score ?? 50 });
  gauge.setAttribute("aria-label", `confluence of ${row.symbol}`);
  const value = element("span", fixed(row.score, 1));
  value.append(gauge);
  score.append(value);
  const signal = active.get(key(row));
  line.append(
    head,
    cell("Price", price(row.price), "number"),
    cell("Technical", fixed(row.technical_score, 1), "number"),
    cell("Volume", fixed(row.volume_score, 1), "number"),
    cell("Flow", fixed(row.orderflow_score, 1), "number"),
    cell("Book", fixed(row.orderbook_score, 1), "number"),
    cell("Structure", fixed(row.pricestructure_score, 1), "number"),
    cell("Sentiment", fixed(row.sentiment_score, 1), "number"),
    score,
    cell("Consensus", row.consensus == null ? "–" : `${row.consensus} ${percent(row.consensus_strength)}`, side(row.consensus)),
    cell("Coverage", percent(row.coverage), "number"),
    cell("Reliability", percent(row.reliability), "number"),
    cell("Signal", signal ? signal.signal : "–", side(signal?.signal)),
    cell("Age", "", "number age"),
  );
  return line;
}

function signalItem(row) {
  const item = element("li");
  const link = element("a", row.symbol);
  link.href = `/api/signals/${encodeURIComponent(row.signal_id)}`;
  const at = element("time", `${row.ts_close.slice(0, 16).replace("T", " ")} UTC`);
  at.dateTime = row.ts_close;
  item.append(
    link, element("span", ` ${row.exchange} ${row.market} `, "where"), element("strong", row.signal, side(row.signal)),
    ` score ${fixed(row.score, 1)} at ${price(row.price)}, ${row.status}${row.status_reason ? ` (${row.status_reason})` : ""} `, at,
  );
  return item;
}

function draw() {
  drawing = false;
  if (simulated === null) return; // ages would be by the wrong clock
  const focused = document.activeElement?.closest?.("tr")?.dataset.key;
  const active = new Map();
  for (const row of signals.values()) if (row.status === "active") active.set(key(row), row);
  const wanted = filter.value.trim().toUpperCase().replace(/[/\- ]/g, "");
  const rows = [...scores.values()].filter((row) => row.symbol.includes(wanted));
  rows.sort((a, b) => (b.score ?? -1) - (a.score ?? -1) || (key(a) < key(b) ? -1 : 1));
  if (rows.length) {
    body.replaceChildren(...rows.map((row) => {
      const line = scoreRow(row, active);
      if (row.fresh) line.classList.add("changed");
      row.fresh = false;
      return line;
    }));
    if (focused) [...body.rows].find((line) => line.dataset.key === focused)?.querySelector("a").focus();
  } else {
    const text = scores.size ? "Nothing fits the filter." : "No scores yet: the first one comes when a bar closes.";
    const line = element("tr", null, "empty");
    const only = element("td", text);
    only.colSpan = 13;
    line.append(only);
    body.replaceChildren(line);
  }
  const newest = [...signals.values()].sort((a, b) => b.timestamp - a.timestamp).slice(0, SIGNALS_MAX);
  list.replaceChildren(...(newest.length ? newest.map(signalItem) : [element("li", "No signals yet.", "empty")]));
  tick();
}

function redraw() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(draw);
}

// What moves inside its bar is drawn a few times a second.
function redrawSoon() {
  moving ??= setTimeout(() => {
    moving = null;
    redraw();
  }, FORMING_MS);
}

// Ages count by the wall clock, or where time is simulated by the newest row, moved on since it came.
function clock() {
  if (!simulated) return Date.now();
  return newest.at + (Date.now() - newest.heard);
}

function note(row) {
  const at = Date.parse(row.known_at);
  if (newest.at < at) newest = { at, heard: Date.now() };
}

function tick() {
  const now = clock();
  let fresh = 0;
  for (const line of body.querySelectorAll("tr[data-at]")) {
    const ms = now - Number(line.dataset.at);
    const stale = !connected || STALE_MS < ms;
    line.querySelector(".age").textContent = ms < 0 && line.classList.contains("forming") ? "forming" : age(ms);
    line.classList.toggle("stale", stale);
    if (!stale) fresh += 1;
  }
  state.textContent = words(fresh);
  const why = connected ? reasons.join("; ") : "";
  banner.hidden = refused || (connected && !why);
  banner.textContent = why ? `Not ready: ${why}.` : "Disconnected. What is shown may be old; trying again.";
}

// What the numbers are worth, in a few words.
function words(fresh) {
  if (refused) return "a token is needed";
  if (!connected) return "disconnected";
  if (!admitted) return "connecting";
  if (!scores.size) return reasons.length ? "no scores, not ready" : "no scores yet";
  const market = simulated ? "simulated market" : fresh || !body.querySelector("tr[data-at]") ? "live" : "stale";
  const more = [`${scores.size} instruments`];
  if (reasons.length) more.push("not ready");
  if (lost) more.push(`${lost} intermediate changes skipped`);
  return [market, ...more].join(", ");
}

// Whether the server is ready, and by which clock it lives.
async function ask() {
  try {
    const told = await fetch("/api/system/status", { headers: credentials() });
    if (told.ok) {
      const status = await told.json();
      reasons = Object.values(status.reasons);
      simulated = status.simulated;
    }
  } catch { /* the banner says that it is disconnected */ }
  redraw();
}

function credentials() {
  const token = sessionStorage.getItem("token");
  return token ? { authorization: `Bearer ${token}` } : {};
}

function send(message) {
  if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
}

function hear(message) {
  if (message.known_at) note(message);
  switch (message.type) {
    case "snapshot": {
      if (!admitted) {
        admitted = true;
        door.hidden = true;
        ask();
      }
      const rows = message.channel === "signal" ? signals : scores;
      rows.clear();
      message.rows.forEach(note);
      for (const row of message.rows) rows.set(message.channel === "signal" ? row.signal_id : key(row), row);
      break;
    }
    case "confluence":
      if (message.retracted) send({ op: "subscribe", channel: "confluence", forming: true });
      else if (!(scores.get(key(message))?.timestamp > message.timestamp)) scores.set(key(message), { ...message, fresh: !message.forming });
      if (message.forming) return redrawSoon();
      break;
    case "signal":
      signals.set(message.signal_id, message);
      break;
    case "signal_withdrawn":
      signals.set(message.signal_id, { ...message, status: "withdrawn" });
      break;
    case "lagged":
      lost += message.dropped;
      break;
  }
  redraw();
}

function connect() {
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  socket = new WebSocket(`${scheme}//${location.host}/ws/page`);
  socket.onopen = () => {
    retry = 500;
    connected = true;
    admitted = false;
    const token = sessionStorage.getItem("token");
    if (token) send({ op: "auth", token });
    send({ op: "subscribe", channel: "signal" });
    send({ op: "subscribe", channel: "confluence", forming: true });
    tick();
  };
  socket.onmessage = (event) => hear(JSON.parse(event.data));
  socket.onclose = (event) => {
    connected = false;
    if (event.code === 1008 && !admitted) { // it wants a token, or another one
      sessionStorage.removeItem("token");
      refused = true;
      door.hidden = false;
      tick();
      return;
    }
    tick();
    waiting = setTimeout(connect, retry);
    retry = Math.min(retry * 2, 10_000);
  };
}

door.addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("token", door.elements.token.value.trim());
  door.elements.token.value = "";
  refused = false;
  clearTimeout(waiting);
  connect();
});

// A link cannot carry the token: what it leads to is fetched and shown here.
document.addEventListener("click", async (event) => {
  const link = event.target.closest?.("a[href^='/']");
  if (!link || !sessionStorage.getItem("token") || event.button || event.metaKey || event.ctrlKey) return;
  event.preventDefault();
  const told = await fetch(link.getAttribute("href"), { headers: credentials() });
  answer.querySelector("pre").textContent = await told.text();
  answer.showModal();
});

document.querySelector("#example").textContent =
  `curl -s ${location.origin}/api/sql -H 'content-type: application/json' \\\n` +
  `  -d '{"sql": "SELECT symbol, score, price FROM live.confluence ORDER BY score DESC LIMIT 5"}'`;
filter.addEventListener("input", redraw);
setInterval(tick, 1000);
setInterval(() => { if (admitted) ask(); }, STATUS_MS);
if (!sessionStorage.getItem("token")) ask();
connect();
