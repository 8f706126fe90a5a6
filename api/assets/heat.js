// What rested in the order book over the last hour: price upwards, time to the right, the more the stronger.
"use strict";

const HOUR_MS = 3_600_000;
const HEAT = `SELECT ts, side, price_from, price_to, size FROM book_heat
  WHERE exchange = $exchange AND market = $market AND symbol = $symbol AND ts >= CAST($from AS TIMESTAMP) AND NOT retracted
  ORDER BY ts DESC`;
let drawn = {}; // the last map, of which instrument and time it is

// The map of an instrument up to a time: anew where that is another one, as it was where it cannot be had.
async function heatOf(of, ts) {
  if (drawn.of === of && drawn.ts === ts) return drawn.section;
  const rows = await heatUntil(of, ts).catch(() => null);
  if (rows) drawn = { of, ts, section: heatMap(rows) };
  return drawn.of === of ? drawn.section : element("section", null, "heat");
}

// Rows of an hour up to a time, newest first.
async function heatUntil(of, ts) {
  const from = new Date(Date.parse(ts) - HOUR_MS).toISOString();
  const answer = await fetch("/api/sql", {
    method: "POST",
    headers: { ...credentials(), "content-type": "application/json" },
    body: JSON.stringify({ sql: HEAT, parameters: { ...of, from } }),
  });
  return answer.ok ? (await answer.json()).rows : null;
}

function heatMap(rows) {
  const made = element("section", null, "heat");
  made.append(element("h3", "Order book over the last hour"));
  if (!rows.length) {
    made.append(element("p", "No book.", "empty"));
    return made;
  }
  const times = [...new Set(rows.map(([ts]) => ts))].reverse();
  const at = times.map((ts) => Date.parse(ts));
  const step = at.slice(1).reduce((least, to, n) => Math.min(least, to - at[n]), HOUR_MS);
  const low = rows.reduce((least, row) => Math.min(least, row[2]), Infinity);
  const high = rows.reduce((most, row) => Math.max(most, row[3]), -Infinity);
  const sizes = rows.map((row) => row[4]).sort((a, b) => a - b);
  // A few walls must not make the rest pale.
  const much = sizes[Math.floor(0.98 * (sizes.length - 1))] || 1;
  const canvas = element("canvas");
  Object.assign(canvas, { width: 1200, height: 320 });
  const text = `sizes of bids and asks between ${price(low)} and ${price(high)}, ${times[0].slice(11, 16)} to ${times.at(-1).slice(11, 16)} UTC`;
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", text);
  const draw = canvas.getContext("2d");
  const style = getComputedStyle(detail);
  const colour = { bid: style.getPropertyValue("--up"), ask: style.getPropertyValue("--down") };
  const width = (canvas.width * step) / (at.at(-1) - at[0] + step);
  const x = (ts) => ((Date.parse(ts) - at[0]) / step) * width;
  const y = (of) => canvas.height * (1 - (of - low) / (high - low));
  for (const [ts, side, from, to, size] of rows) {
    draw.globalAlpha = Math.sqrt(Math.min(1, size / much));
    draw.fillStyle = colour[side];
    draw.fillRect(x(ts), y(to), Math.ceil(width), Math.max(1, y(from) - y(to)));
  }
  made.append(element("p", text, "where"), canvas);
  return made;
}
