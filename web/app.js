// The dashboard. Live by server-sent events, by polling once a second when events do not come through.
// Everything that the node says is shown with textContent: names and reasons are outside text.
"use strict";

const POINTS_MAX = 300;          // as many as the node keeps
const WINDOWS = [60, 300];       // seconds that the charts can show
const SILENCE_LIMIT_MS = 4000;   // a tick comes every second; after this the page says that it is not live
const EVENT_FAILURES_MAX = 3;    // then poll

const el = (id) => document.getElementById(id);
const state = { points: [], status: null, window: WINDOWS[0], paused: false, sort: { column: "rate", down: true }, rates: new Map(), last: 0 };

// ---- words and numbers ----

const nf = (digits) => new Intl.NumberFormat("en", { maximumFractionDigits: digits, minimumFractionDigits: digits });
const [nf0, nf1, nf2] = [nf(0), nf(1), nf(2)];

function count(n) {
  if (n == null) return "–";
  if (n >= 1e9) return nf2.format(n / 1e9) + " G";
  if (n >= 1e6) return nf2.format(n / 1e6) + " M";
  if (n >= 1e4) return nf1.format(n / 1e3) + " k";
  return n < 10 && n % 1 ? nf1.format(n) : nf0.format(n);
}

function bytes(n) {
  if (n == null) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let i = 0;
  while (n >= 1024 && i < units.length - 1) { n /= 1024; i++; }
  return (i === 0 || n >= 100 ? nf0 : nf1).format(n) + " " + units[i];
}

function micros(us) {
  if (us == null) return ["–", ""];
  if (us < 1000) return [(us < 10 ? nf1 : nf0).format(us), "µs"];
  if (us < 1e6) return [(us < 1e4 ? nf2 : nf1).format(us / 1e3), "ms"];
  return [nf2.format(us / 1e6), "s"];
}
const microsText = (us) => micros(us).join(" ").trim();

function span(seconds) {
  const s = Math.floor(seconds);
  if (s < 60) return s + " s";
  if (s < 3600) return Math.floor(s / 60) + " min " + (s % 60) + " s";
  if (s < 86400) return Math.floor(s / 3600) + " h " + Math.floor((s % 3600) / 60) + " min";
  return Math.floor(s / 86400) + " d " + Math.floor((s % 86400) / 3600) + " h";
}

function text(id, value) {
  const node = el(id);
  if (node.textContent !== value) node.textContent = value;
}

function make(tag, className, content) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (content != null) node.textContent = content;
  return node;
}

// ---- charts ----

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const shown = () => state.points.slice(-state.window);
const lastPoint = () => state.points[state.points.length - 1];
const reads = (p) => p.l1 + p.l2 + p.origin + p.errors;

// What each chart draws: series from points, with the words and figures of its key.
const CHARTS = [
  {
    id: "reads",
    series: [
      { label: "L1", mark: "l1", value: (p) => p.l1, plot: (p) => p.l1 + p.l2 + p.origin, fill: true },
      { label: "L2", mark: "l2", value: (p) => p.l2, plot: (p) => p.l2 + p.origin, fill: true },
      { label: "Origin", mark: "origin", value: (p) => p.origin, plot: (p) => p.origin, fill: true },
    ],
    axis: (v) => count(v), show: (v) => count(v) + "/s", stacked: true,
  },
  {
    id: "latency", log: true,
    series: [
      { label: "p99", mark: "l2", value: (p) => p.p99_us },
      { label: "p50", mark: "l1", value: (p) => p.p50_us },
    ],
    axis: (v) => microsText(v), show: (v) => microsText(v),
  },
  {
    id: "origin",
    series: [
      { label: "loads", mark: "origin", value: (p) => p.loads, fill: true, show: (v) => count(v) + "/s" },
      { label: "in flight", mark: "l2", value: (p) => p.in_flight },
    ],
    axis: (v) => count(v), show: (v) => count(v),
  },
  {
    id: "memory",
    series: [
      { label: "used", mark: "l1", value: (p) => p.memory_bytes, fill: true },
      { label: "limit", mark: "limit", value: (p) => p.memory_limit_bytes, dash: true },
    ],
    axis: (v) => bytes(v), show: (v) => bytes(v),
    // Quarters of the limit, which is a round number of bytes where tens are not.
    range: (max) => [0, max * 1.06], splits: (u) => [0, 1, 2, 3, 4].map((i) => (i * (lastPoint()?.memory_limit_bytes ?? 4)) / 4),
  },
];

function chartData(chart) {
  const points = shown();
  const end = points.length ? points[points.length - 1].at : 0;
  return [points.map((p) => p.at - end), ...chart.series.map((s) => points.map((p) => (s.plot || s.value)(p) ?? null))];
}

function color(mark) {
  return css(mark === "limit" ? "--faint" : "--" + mark);
}

// The scale's top is a round number just above what is drawn, so that the lines do not dance with every point.
function niceTop(max) {
  if (!(max > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(max));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map((step) => step * power).find((top) => top >= max * 1.05) ?? 20 * power;
}

function logRange(min, max) {
  if (!(max > 0)) return [1, 1000];
  return [10 ** Math.floor(Math.log10(Math.max(min, 0.1))), 10 ** Math.ceil(Math.log10(max * 1.01))];
}

function decades(u) {
  const out = [];
  for (let v = u.scales.y.min; v <= u.scales.y.max * 1.001; v *= 10) out.push(v);
  return out;
}

function yScale(chart) {
  if (chart.log) return { distr: 3, range: (u, min, max) => logRange(min, max) };
  return { range: (u, min, max) => (chart.range && max > 0 ? chart.range(max) : [0, niceTop(max)]) };
}

function chartOptions(chart, width, height) {
  const axis = { stroke: css("--faint"), font: "12px system-ui, sans-serif", ticks: { show: false } };
  const splits = chart.log ? decades : chart.splits;
  return {
    width, height, padding: [8, 14, 0, 0], legend: { show: false },
    cursor: { y: false, points: { size: 7 }, drag: { setScale: false, x: false, y: false }, sync: { key: "candor" } },
    scales: { x: { time: false, range: () => [-state.window, 0] }, y: yScale(chart) },
    axes: [
      { ...axis, grid: { show: false }, size: 26, gap: 8, values: (u, ticks) => ticks.map((t) => (t === 0 ? "now" : t + " s")) },
      { ...axis, grid: { stroke: css("--grid"), width: 1 }, size: 62, ...(splits && { splits }), ...(chart.log && { filter: (u, ticks) => ticks }),
        values: (u, ticks) => ticks.map((t) => chart.axis(t)) },
    ],
    series: [{}, ...chart.series.map((s) => ({
      stroke: color(s.mark), width: 1.75, spanGaps: false, points: { show: false },
      fill: s.fill ? css("--" + s.mark + "-fill") : undefined, dash: s.dash ? [5, 5] : undefined,
    }))],
    // A stacked series fills only down to the one below it, or their colours would mix.
    bands: chart.stacked ? chart.series.slice(1).map((s, i) => ({ series: [i + 1, i + 2] })) : [],
    hooks: { setCursor: [(u) => showKey(chart, u.cursor.idx)] },
  };
}

function showKey(chart, index) {
  const points = shown();
  const point = index != null && points[index] ? points[index] : points[points.length - 1];
  chart.series.forEach((s, i) => {
    const value = point ? s.value(point) : null;
    const words = value == null ? "–" : (s.show || chart.show)(value);
    if (chart.figures[i].textContent !== words) chart.figures[i].textContent = words;
  });
}

function buildKey(chart) {
  chart.figures = chart.series.map((s) => {
    const item = make("li");
    const figure = make("b", "", "–");
    item.append(make("span", "swatch " + s.mark), make("span", "", s.label), figure);
    el("k-" + chart.id).append(item);
    return figure;
  });
}

function drawChart(chart) {
  if (typeof uPlot === "undefined") return;
  const holder = el("c-" + chart.id);
  const { clientWidth: width, clientHeight: height } = holder;
  if (chart.plot && chart.width === width && chart.height === height) {
    chart.plot.setData(chartData(chart));
  } else {
    chart.plot?.destroy();
    [chart.width, chart.height] = [width, height];
    chart.plot = new uPlot(chartOptions(chart, width, height), chartData(chart), holder);
  }
  showKey(chart, chart.plot.cursor.idx);
}

function describeChart(chart) {
  const words = chart.series.map((s, i) => s.label + " " + chart.figures[i].textContent).join(", ");
  el("c-" + chart.id).setAttribute("aria-label", words);
}

function rebuildCharts() {
  for (const chart of CHARTS) {
    chart.plot?.destroy();
    chart.plot = null;
    drawChart(chart);
  }
}

// ---- figures ----

function drawFigures() {
  const point = lastPoint();
  if (point) {
    const total = reads(point);
    const [value, unit] = micros(point.p99_us);
    text("f-reads", count(total));
    text("n-reads", point.errors > 0 ? count(point.errors) + "/s answered with an error" : "no errors");
    text("f-hit", total > 0 ? nf1.format((100 * point.l1) / total) : "–");
    text("n-hit", total > 0 ? nf1.format((100 * point.l2) / total) + " % L2, " + nf1.format((100 * point.origin) / total) + " % origin" : "no reads now");
    text("f-p99", value);
    text("u-p99", unit);
    text("n-p99", point.p50_us == null ? "not measured now" : "p50 " + microsText(point.p50_us));
    text("f-loads", count(point.loads));
    text("n-loads", point.in_flight + " in flight, " + count(point.writes) + " writes/s");
    const share = point.memory_limit_bytes ? (100 * point.memory_bytes) / point.memory_limit_bytes : null;
    text("f-memory", share == null ? "–" : nf1.format(share));
    text("n-memory", bytes(point.memory_bytes) + " of " + bytes(point.memory_limit_bytes));
  }
  const status = state.status;
  if (!status) return;
  text("node", status.node);
  text("region", status.region);
  text("version", status.version);
  text("uptime", span(status.uptime_seconds));
  text("clients", count(status.connections.open));
  document.title = status.node + " – Candor";
  const troubles = status.degraded.map((reason) => "Degraded: " + reason.replace(":", ", ").replaceAll("_", " "));
  if (!status.ready) troubles.unshift("Not ready: " + status.not_ready_because);
  el("trouble").hidden = troubles.length === 0;
  text("trouble", troubles.join("   "));
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
  hit.append(bar(f), make("span", "", f.reads > 0 ? nf1.format(100 * hitShare(f)) + " %" : "–"));
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

function fact(label, value, warn) {
  const holder = make("div", warn ? "warn" : "");
  holder.append(make("dt", "", label), make("dd", "", value));
  return holder;
}

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
  for (const o of state.status.origins)
    add(o.name + " (origin)", o.connected, o.description + ", " + o.in_flight + " of " + o.max_concurrency + " in flight, " + o.waiting + " waiting" + (o.errors ? ", " + count(o.errors) + " errors" : ""));
  for (const t of state.status.tiers.filter((tier) => tier.tier === "l2"))
    add("L2", t.connected && !t.breaker_open, t.description + ", " + count(t.hits) + " hits, " + count(t.misses) + " misses" + (t.bytes == null ? "" : ", " + bytes(t.bytes)) + (t.errors ? ", " + count(t.errors) + " errors" : ""));
  const c = state.status.connections;
  add("Clients", true, count(c.open) + " connected, " + count(c.commands) + " commands" + (c.slow_readers_cut ? ", " + c.slow_readers_cut + " slow readers cut" : "") + (c.refused ? ", " + c.refused + " refused" : ""));
  el("behind").replaceChildren(...items);
}

// ---- what arrives ----

function learnRates(status) {
  for (const f of status.features) {
    const before = state.rates.get(f.name);
    const seconds = before ? status.uptime_seconds - before.at : 0;
    if (seconds > 0 && f.reads >= before.reads) state.rates.set(f.name, { at: status.uptime_seconds, reads: f.reads, rate: (f.reads - before.reads) / seconds });
    else if (!before || seconds < 0 || f.reads < before.reads) state.rates.set(f.name, { at: status.uptime_seconds, reads: f.reads, rate: 0 });
  }
}

function draw() {
  if (state.paused) return;
  drawFigures();
  for (const chart of CHARTS) {
    drawChart(chart);
    describeChart(chart);
  }
  drawFeatures();
  drawRiver();
  drawBehind();
}

function addPoint(point) {
  const last = state.points[state.points.length - 1];
  if (last && point.at < last.at) state.points = [];  // the node was started again
  state.points.push(point);
  if (state.points.length > POINTS_MAX) state.points.shift();
}

function arrived(status, point) {
  state.last = Date.now();
  learnRates(status);
  state.status = status;
  if (point) addPoint(point);
  draw();
}

function link(kind, words) {
  el("link").className = "pill " + kind;
  text("link", words);
}

// ---- events, or polling ----

function listen() {
  let failures = 0;
  const source = new EventSource("/api/v1/events");
  source.addEventListener("history", (e) => { state.points = JSON.parse(e.data).points; failures = 0; draw(); });
  source.addEventListener("tick", (e) => {
    const data = JSON.parse(e.data);
    failures = 0;
    link("live", "Live");
    arrived(data.status, data.point);
  });
  source.onerror = () => {
    failures++;
    if (failures < EVENT_FAILURES_MAX && source.readyState !== EventSource.CLOSED) return;
    source.close();
    poll(null);
  };
}

// A point from two statuses: what the node would have sent, but for the percentiles of the interval.
function pointBetween(before, now) {
  const seconds = now.uptime_seconds - before.uptime_seconds;
  if (!(seconds > 0)) return null;
  const sum = (status, pick) => status.features.reduce((total, f) => total + pick(f), 0);
  const rate = (pick) => Math.max(0, sum(now, pick) - sum(before, pick)) / seconds;
  const l1 = now.tiers.find((t) => t.tier === "l1");
  return {
    at: now.uptime_seconds, l1: rate((f) => f.reads_by_tier.l1), l2: rate((f) => f.reads_by_tier.l2), origin: rate((f) => f.reads_by_tier.origin),
    errors: rate((f) => f.errors), loads: rate((f) => f.loads.ok + f.loads.absent + f.loads.failed + f.loads.timeout), writes: rate((f) => f.writes),
    p50_us: null, p99_us: null, memory_bytes: l1.bytes, memory_limit_bytes: l1.limit_bytes,
    in_flight: now.origins.reduce((total, o) => total + o.in_flight, 0),
  };
}

async function poll(before) {
  let status = null;
  try {
    const answer = await fetch("/api/v1/status", { cache: "no-store" });
    if (answer.ok) status = await answer.json();
  } catch { /* shown below as not connected */ }
  if (status) {
    link("polling", "Polling");
    arrived(status, before ? pointBetween(before, status) : null);
  }
  setTimeout(() => poll(status ?? before), status ? 1000 : 3000);
}

// ---- the page ----

el("pause").addEventListener("click", () => {
  state.paused = !state.paused;
  el("pause").setAttribute("aria-pressed", String(state.paused));
  text("pause", state.paused ? "Resume" : "Pause");
  draw();
});
el("window").addEventListener("click", () => {
  state.window = WINDOWS[(WINDOWS.indexOf(state.window) + 1) % WINDOWS.length];
  el("window").setAttribute("aria-pressed", String(state.window !== WINDOWS[0]));
  text("window", state.window / 60 + " min");
  rebuildCharts();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", rebuildCharts);
new ResizeObserver(() => CHARTS.forEach(drawChart)).observe(document.querySelector(".charts"));
setInterval(() => {
  if (state.last && Date.now() - state.last > SILENCE_LIMIT_MS) link("lost", "No answer");
}, 1000);

CHARTS.forEach(buildKey);
buildHeads();
if (typeof uPlot === "undefined")
  for (const chart of CHARTS) el("c-" + chart.id).append(make("p", "missing", "Charts are not built in: run scripts/install and build again."));
if (typeof EventSource === "undefined") poll(null);
else listen();
