// The live page: what this node does now. Figures, charts of the last minutes, features, changes on their way, what is behind.
import { drawCapacity } from "/capacity.js";
import { Chart } from "/charts.js";
import { lastPoint, reads, state } from "/state.js";
import { bytes, count, el, fact, make, micros, microsText, oneDigit, text } from "/words.js";

// ---- charts ----

const shown = () => state.points.slice(-state.window);

// `value` is what the key says, `plot` what is drawn where that is another thing.
function timeChart(id, spec) {
  return new Chart(id, {
    sync: "candor",
    xRange: () => [-state.window, 0],
    xAxis: (ticks) => ticks.map((t) => (t === 0 ? "now" : t + " s")),
    data: () => {
      const points = shown();
      const end = points.length ? points[points.length - 1].at : 0;
      return [points.map((p) => p.at - end), ...spec.series.map((s) => points.map((p) => (s.plot || s.value)(p) ?? null))];
    },
    figures: (index) => {
      const points = shown();
      const point = index != null && points[index] ? points[index] : points[points.length - 1];
      return spec.series.map((s) => (point ? s.value(point) : null));
    },
    ...spec,
  });
}

const CHARTS = [
  timeChart("reads", {
    series: [
      { label: "L1", mark: "l1", value: (p) => p.l1, plot: (p) => p.l1 + p.l2 + p.origin, fill: true },
      { label: "L2", mark: "l2", value: (p) => p.l2, plot: (p) => p.l2 + p.origin, fill: true },
      { label: "Origin", mark: "origin", value: (p) => p.origin, plot: (p) => p.origin, fill: true },
    ],
    yAxis: (v) => count(v), show: (v) => count(v) + "/s", stacked: true,
  }),
  timeChart("latency", {
    series: [
      { label: "p99", mark: "l2", value: (p) => p.p99_us },
      { label: "p50", mark: "l1", value: (p) => p.p50_us },
    ],
    yLog: true, yAxis: (v) => microsText(v), show: (v) => microsText(v),
  }),
  timeChart("origin", {
    series: [
      { label: "loads", mark: "origin", value: (p) => p.loads, fill: true, show: (v) => count(v) + "/s" },
      { label: "in flight", mark: "l2", value: (p) => p.in_flight },
      { label: "let through", mark: "limit", value: (p) => p.in_flight_limit, dash: true },
    ],
    yAxis: (v) => count(v), show: (v) => count(v),
  }),
  timeChart("memory", {
    series: [
      { label: "used", mark: "l1", value: (p) => p.memory_bytes, fill: true },
      { label: "limit", mark: "limit", value: (p) => p.memory_limit_bytes, dash: true },
    ],
    yAxis: (v) => bytes(v), show: (v) => bytes(v),
    // Quarters of the limit, which is a round number of bytes where tens are not.
    yRange: (max) => [0, max * 1.06], ySplits: () => [0, 1, 2, 3, 4].map((i) => (i * (lastPoint()?.memory_limit_bytes ?? 4)) / 4),
  }),
];

// ---- figures ----

function drawFigures() {
  const point = lastPoint();
  if (point) {
    const total = reads(point);
    const [value, unit] = micros(point.p99_us);
    text("f-reads", count(total));
    text("n-reads", point.errors > 0 ? count(point.errors) + "/s answered with an error" : "no errors");
    text("f-hit", total > 0 ? oneDigit((100 * point.l1) / total) : "–");
    text("n-hit", total > 0 ? oneDigit((100 * point.l2) / total) + " % L2, " + oneDigit((100 * point.origin) / total) + " % origin" : "no reads now");
    text("f-p99", value);
    text("u-p99", unit);
    text("n-p99", point.p50_us == null ? "not measured now" : "p50 " + microsText(point.p50_us));
    text("f-loads", count(point.loads));
    text("n-loads", point.in_flight + " in flight, " + count(point.writes) + " writes/s");
    const share = point.memory_limit_bytes ? (100 * point.memory_bytes) / point.memory_limit_bytes : null;
    text("f-memory", share == null ? "–" : oneDigit(share));
    text("n-memory", bytes(point.memory_bytes) + " of " + bytes(point.memory_limit_bytes));
  }
}

// ---- features ----

// For a database's feature "no such row" is an answer from memory; for a plain cache it is a miss.
const hits = (f) => f.reads_by_tier.l1 - (f.origin === "none" ? f.reads_negative : 0);
const hitShare = (f) => (f.reads > 0 ? hits(f) / f.reads : -1);
const COLUMNS = [
  { id: "name", label: "Feature", sort: (f) => f.name, left: true },
  { id: "rate", label: "Reads/s", sort: (f) => state.rates.get(f.name)?.rate ?? 0 },
  { id: "hit", label: "From L1", sort: hitShare },
  { id: "reads", label: "Reads", sort: (f) => f.reads, wide: true },
  { id: "loads", label: "Loads", sort: (f) => f.loads.ok + f.loads.absent + f.loads.failed + f.loads.timeout, wide: true },
  { id: "p99", label: "Miss p99", sort: (f) => f.miss_latency?.p99_us ?? -1, wide: true },
  { id: "entries", label: "Entries", sort: (f) => f.entries, wide: true },
  { id: "bytes", label: "Memory", sort: (f) => f.bytes, wide: true },
  { id: "errors", label: "Errors", sort: (f) => f.errors },
];

function buildHeads() {
  for (const column of COLUMNS) {
    const head = make("th", column.wide ? "wide" : "");
    head.scope = "col";
    const button = make("button", "", column.label);
    button.type = "button";
    button.addEventListener("click", () => {
      const same = state.sort.column === column.id;
      state.sort = { column: column.id, down: same ? !state.sort.down : column.id !== "name" };
      drawFeatures();
    });
    head.append(button);
    column.head = head;
    el("heads").append(head);
  }
}

function bar(feature) {
  const holder = make("span", "bar");
  holder.setAttribute("aria-hidden", "true");
  for (const tier of ["l1", "l2", "origin"]) {
    const part = make("i", tier);
    const part_reads = tier === "l1" ? hits(feature) : feature.reads_by_tier[tier];
    part.style.width = (feature.reads > 0 ? (100 * part_reads) / feature.reads : 0) + "%";
    holder.append(part);
  }
  return holder;
}

function cells(f) {
  const name = make("td");
  name.append(make("span", "name", f.name), make("span", "sub", (f.origin === "none" ? "plain cache" : f.origin) + ", " + f.consistency));
  const hit = make("td");
  hit.append(bar(f), make("span", "", f.reads > 0 ? oneDigit(100 * hitShare(f)) + " %" : "–"));
  const loads = f.loads.ok + f.loads.absent + f.loads.failed + f.loads.timeout;
  return [
    name, make("td", "", count(state.rates.get(f.name)?.rate)), hit, make("td", "wide", count(f.reads)), make("td", "wide", count(loads)),
    make("td", "wide", microsText(f.miss_latency?.p99_us)), make("td", "wide", count(f.entries)), make("td", "wide", bytes(f.bytes)),
    make("td", f.errors > 0 ? "warn" : "", count(f.errors)),
  ];
}

function drawFeatures() {
  const status = state.status;
  if (!status) return;
  const column = COLUMNS.find((c) => c.id === state.sort.column);
  const sign = state.sort.down ? -1 : 1;
  const order = [...status.features].sort((a, b) => {
    const [x, y] = [column.sort(a), column.sort(b)];
    return x < y ? -sign : x > y ? sign : a.name < b.name ? -1 : 1;
  });
  for (const c of COLUMNS) {
    if (c === column) c.head.setAttribute("aria-sort", state.sort.down ? "descending" : "ascending");
    else c.head.removeAttribute("aria-sort");
  }
  el("rows").replaceChildren(...order.map((f) => {
    const row = make("tr");
    row.append(...cells(f));
    return row;
  }));
  el("no-features").hidden = order.length > 0;
  text("n-features", status.features_total > order.length ? order.length + " of " + status.features_total + ", those with the most reads" : order.length + " configured");
}

// ---- the change river ----

const FEED_WORDS = { leading: "this node reads them", standby: "another node reads them", connecting: "connecting", misconfigured: "misconfigured", off: "off" };

function feedItem(o) {
  const item = make("li");
  const good = o.settled && o.fresh_within_ms != null && o.feed !== "misconfigured";
  const head = make("div", "head");
  const words = make("div", "", o.name);
  words.append(make("span", "", o.description + ", " + (FEED_WORDS[o.feed] ?? o.feed)));
  head.append(make("i", good ? "state" : "state down"), words);
  const facts = make("dl");
  const within = o.fresh_within_ms == null ? "not proven" : microsText(o.fresh_within_ms * 1000);
  facts.append(
    fact("Fresh within", within, o.fresh_within_ms == null || o.fresh_within_ms > 5000),
    fact("Commit to dropped, p99", o.lag.applied ? microsText(o.lag.applied.p99_us) : "no change yet"),
    fact("Changes applied", count(o.changes_applied)),
    fact("Times all was suspect", count(o.floors)),
    fact("Not yet told to L2", count(o.debts_to_l2), o.debts_to_l2 > 0),
  );
  item.append(head, facts);
  if (o.problem) item.append(make("p", o.feed === "standby" ? "note" : "note warn", o.problem));
  return item;
}

function drawRiver() {
  const river = state.status?.river;
  el("river").hidden = !river;
  if (!river) return;
  const nodes = river.nodes.length;
  const words = [river.stream + (river.connected ? "" : ", not connected"), nodes + (nodes === 1 ? " node" : " nodes"), river.gaps + (river.gaps === 1 ? " gap" : " gaps")];
  if (state.status.tracking.clients) words.push(count(state.status.tracking.clients) + " clients keep values");
  text("n-river", words.join(", ") + (river.problem ? ". " + river.problem : ""));
  el("feeds").replaceChildren(...river.origins.map(feedItem));
}

// "max_concurrency" is the hard cap; the limit below it follows how long the origin takes.
function originWords(o) {
  const words = [o.description, o.in_flight + " in flight, " + o.concurrency_limit + " let through" + (o.concurrency_limit < o.max_concurrency ? " (at most " + o.max_concurrency + ")" : ""), count(o.waiting) + " waiting"];
  const shed = Object.values(o.shed).reduce((a, b) => a + b, 0);
  if (shed) words.push(count(shed) + " shed");
  if (o.errors) words.push(count(o.errors) + " errors");
  if (o.breaker && o.breaker !== "closed") words.push("breaker " + o.breaker.replaceAll("_", " "));
  return words.join(", ");
}

function drawBehind() {
  if (!state.status) return;
  const items = [];
  const add = (name, good, line) => {
    const item = make("li");
    const words = make("div", "", name);
    words.append(make("span", "", line));
    item.append(make("i", good ? "state" : "state down"), words);
    items.push(item);
  };
  for (const o of state.status.origins) add(o.name + " (origin)", o.connected && o.breaker !== "open", originWords(o));
  for (const t of state.status.tiers.filter((tier) => tier.tier === "l2"))
    add("L2", t.connected && !t.breaker_open, t.description + ", " + count(t.hits) + " hits, " + count(t.misses) + " misses" + (t.bytes == null ? "" : ", " + bytes(t.bytes)) + (t.errors ? ", " + count(t.errors) + " errors" : "") + (t.breaker_open ? ", breaker open" : ""));
  for (const t of state.status.tiers.filter((tier) => tier.tier === "disk"))
    add("Disk", t.on, bytes(t.bytes) + " of " + bytes(t.limit_bytes) + ", " + count(t.lookups.hit) + " hits, " + count(t.lookups.miss) + " misses, " + bytes(t.written_bytes) + " written" + (t.problem ? ", " + t.problem : ""));
  const c = state.status.connections;
  add("Clients", true, count(c.open) + " connected, " + count(c.commands) + " commands" + (c.slow_readers_cut ? ", " + c.slow_readers_cut + " slow readers cut" : "") + (c.refused ? ", " + c.refused + " refused" : ""));
  el("behind").replaceChildren(...items);
}

// ---- the page ----

export function drawLive() {
  drawFigures();
  CHARTS.forEach((chart) => chart.draw());
  drawFeatures();
  drawCapacity();
  drawRiver();
  drawBehind();
}

export function setWindow(seconds) {
  state.window = seconds;
  CHARTS.forEach((chart) => chart.rebuild());
}

buildHeads();
