// One instrument: its dimensions and components with divergence, what may be done and why, its order book and its last trades by price.
"use strict";

const REFRESH_MS = 5_000;
const FACES = {
  technical: "Technical",
  volume: "Volume",
  orderflow: "Order flow",
  orderbook: "Order book",
  pricestructure: "Price structure",
  sentiment: "Sentiment",
};
const detail = document.querySelector("#symbol");
let shown = null; // the instrument, while it is shown

async function told(path) {
  const answer = await fetch(path, { headers: credentials() });
  return answer.ok ? answer.json() : null;
}

// The signal that could be made of the newest score.
async function advised(of) {
  const answer = await fetch("/api/signals/generate", {
    method: "POST",
    headers: { ...credentials(), "content-type": "application/json" },
    body: JSON.stringify({ symbols: [of.symbol], exchange: of.exchange, market: of.market }),
  });
  return answer.ok ? (await answer.json()).signals[0] ?? null : null;
}

// What a score says, what may be done, and what speaks against relying on it.
function whys(advice) {
  const made = element("section", null, "reasons");
  if (!advice) return made;
  made.append(element("h3", `${advice.signal}, long ${fixed(advice.confidence_long, 1)} %, short ${fixed(advice.confidence_short, 1)} %`));
  for (const [title, sentences] of [["What may be done", advice.actionable_insights], ["Warnings", advice.warnings], ["Why", advice.insights]]) {
    if (!sentences.length) continue;
    const list = element("ul");
    list.append(...sentences.map((sentence) => element("li", sentence.text)));
    made.append(element("h4", title), list);
  }
  return made;
}

function gauge(name, score, note) {
  const line = element("p", null, "gauge");
  const meter = element("meter");
  Object.assign(meter, { min: 0, max: 100, low: 30, high: 70, optimum: 100, value: score ?? 50 });
  meter.setAttribute("aria-label", name);
  line.append(element("span", name), meter, element("strong", fixed(score, 1)), element("span", note, "where"));
  return line;
}

function table(caption, heads, lines) {
  const made = element("table");
  const head = made.createTHead().insertRow();
  made.createCaption().textContent = caption;
  for (const text of heads) {
    const cell = element("th", text, text && "number");
    cell.scope = "col";
    head.append(cell);
  }
  made.createTBody().append(...lines);
  return made;
}

// Components of a dimension by timeframe: score, and the divergence that is in it.
function components(analysis, dimension) {
  const timeframes = Object.keys(analysis.components).sort((a, b) => minutes(a) - minutes(b));
  const rows = new Map();
  for (const timeframe of timeframes) {
    for (const row of analysis.components[timeframe]) {
      if (row.dimension !== dimension) continue;
      if (!rows.has(row.component)) rows.set(row.component, {});
      rows.get(row.component)[timeframe] = row;
    }
  }
  const lines = [...rows].map(([name, of]) => {
    const line = element("tr");
    const head = element("th", name.replaceAll("_", " "));
    head.scope = "row";
    line.append(head);
    for (const timeframe of timeframes) {
      const row = of[timeframe];
      const text = row ? `${fixed(row.score, 0)}${row.div ? ` (${row.div > 0 ? "+" : ""}${fixed(row.div, 0)})` : ""}` : "–";
      const cell = element("td", text, `number ${row && 70 <= row.score ? "up" : row && row.score <= 30 ? "down" : ""}`);
      if (row) cell.title = row.interpretation;
      line.append(cell);
    }
    return line;
  });
  return table(`${FACES[dimension]}: scores, and in brackets the divergence in them`, ["", ...timeframes], lines);
}

function minutes(timeframe) {
  return parseInt(timeframe, 10) * { m: 1, h: 60, d: 1440 }[timeframe.at(-1)];
}

// Bars beside their prices, the highest price first: of each row a size to the left and one to the right.
function ladder(rows) {
  const most = Math.max(...rows.flatMap((row) => [row.left ?? 0, row.right ?? 0]), Number.MIN_VALUE);
  const made = element("ol", null, "ladder");
  for (const row of rows) {
    const item = element("li", null, row.className);
    for (const [side, size] of [["down", row.left], ["up", row.right]]) {
      const bar = element("span", null, `bar ${side}`);
      bar.style.setProperty("--share", (size ?? 0) / most);
      bar.title = size == null ? "" : String(size);
      item.append(bar);
    }
    item.children[0].after(element("span", price(row.price), "number"));
    item.append(element("span", row.note, "where"));
    made.append(item);
  }
  return made;
}

function wallNote(wall) {
  const stands = wall.state === "new" || wall.state === "standing";
  const size = stands && wall.times_median != null ? ` ${fixed(wall.times_median, 0)}x` : "";
  return `wall${size}, ${wall.state}, ${age(wall.age * 1000)}`;
}

function book(answer) {
  const made = element("section");
  made.append(element("h3", "Order book at the last close"));
  if (!answer?.book) {
    made.append(element("p", "No book.", "empty"));
    return made;
  }
  const { mid, spread_bps, support, resistance, quality } = answer.book;
  made.append(element("p", `mid ${price(mid)}, spread ${fixed(spread_bps, 2)} bp, support ${price(support)}, resistance ${price(resistance)}, ${quality}`, "where"));
  const rows = answer.heat.map((bucket) => {
    const walls = answer.walls.filter((wall) => wall.side === bucket.side && bucket.price_from <= wall.price && wall.price < bucket.price_to);
    const isAsk = bucket.side === "ask";
    return { price: bucket.price_from, left: isAsk ? null : bucket.size, right: isAsk ? bucket.size : null, note: walls.map(wallNote).join("; ") };
  });
  // Bids stand on the left in the colour of those who may buy.
  const sides = ladder(rows.reverse());
  sides.classList.add("book");
  made.append(sides);
  return made;
}

function footprint(answer) {
  const made = element("section");
  made.append(element("h3", `Trades of the last ${answer?.timeframe ?? "bar"} by price`));
  if (!answer?.levels.length) {
    made.append(element("p", "No trades.", "empty"));
    return made;
  }
  const { poc, naked_poc_above, naked_poc_below } = answer.footprint;
  made.append(element("p", `point of control ${price(poc)}, naked above ${price(naked_poc_above)}, below ${price(naked_poc_below)}; sold left, bought right`, "where"));
  const rows = answer.levels.map((level) => {
    const notes = [level.is_poc && "POC", level.buy_imbalance && "buy imbalance", level.sell_imbalance && "sell imbalance"];
    return { price: level.price_from, left: level.sell_volume, right: level.buy_volume, note: notes.filter(Boolean).join(", ") };
  });
  made.append(ladder(rows.reverse()));
  return made;
}

async function refresh() {
  const of = shown;
  if (!of) return;
  const symbol = encodeURIComponent(of.symbol);
  const market = `/api/market/${of.exchange}/${symbol}`;
  const [analysis, orderbook, trades, advice] = await Promise.all([
    told(`/api/analysis/${symbol}?exchange=${of.exchange}&market=${of.market}`),
    told(`${market}/orderbook?market=${of.market}`),
    told(`${market}/trades?market=${of.market}`),
    advised(of),
  ]).catch(() => [null, null, null, null]);
  if (shown !== of || !analysis) return;
  const content = detail.querySelector("div");
  const gauges = element("section", null, "gauges");
  gauges.append(gauge("confluence", analysis.confluence?.score, `reliability ${percent(analysis.confluence?.reliability)}`));
  for (const row of analysis.dimensions.all ?? []) {
    gauges.append(gauge(row.dimension.replaceAll("_", " "), row.score, `coverage ${percent(row.coverage)}`));
  }
  const faces = Object.keys(FACES).map((dimension) => components(analysis, dimension));
  const heat = content.querySelector(".heat") ?? element("section", null, "heat");
  content.replaceChildren(gauges, whys(advice), ...faces, heat, book(orderbook), footprint(trades));
  if (!orderbook?.book) return;
  const newest = await heatOf(of, orderbook.book.ts);
  if (shown === of) content.querySelector(".heat").replaceWith(newest);
}

document.querySelector("#scores").addEventListener("click", (event) => {
  const link = event.target.closest("tbody a");
  if (!link || event.button || event.metaKey || event.ctrlKey) return;
  event.preventDefault();
  event.stopPropagation();
  const [exchange, market, symbol] = link.closest("tr").dataset.key.split("|");
  shown = { exchange, market, symbol };
  detail.querySelector("h2").textContent = `${symbol} ${exchange} ${market}`;
  detail.querySelector("a").href = link.getAttribute("href");
  detail.querySelector("div").replaceChildren(element("p", "…"));
  detail.showModal();
  refresh();
});

detail.addEventListener("close", () => { shown = null; });
setInterval(refresh, REFRESH_MS);
