// One budget in full: over time, what it depends on, how stale, why, by which way, what a ttl would change, what the controller did.
import { Chart, bars, dot, rule } from "/charts.js";
import { longestTtlWithin, placeOf, predict, ttlAt, ttlCurve } from "/model.js";
import { state } from "/state.js";
import { clockTime, count, duration, el, fact, figure, make, microsText, percent, text } from "/words.js";
import { allowedWords, intervalWords, verdictOf } from "/budgets.js";

const POINTS_MAX = 720;       // an hour, as many as the node keeps
const SHOWN_MIN_S = 300;      // a chart shows at least so long
const CURVE_EVERY_MS = 15000; // the curve is some 10,000 sums for each class of keys
const LEVERS_SHOWN = 50;

// What is known of the feature that is open; `asked` tells an answer that comes too late from the one that is waited for.
let open = null;
let asked = 0;
let hasLevers = null;  // whether this node keeps a lever log; null: not asked yet

// ---- asking ----

async function ask(path) {
  try {
    const answer = await fetch(path, { cache: "no-store" });
    return answer.ok ? await answer.json() : null;
  } catch {
    return null;
  }
}

export function openDetail(feature) {
  const mine = ++asked;
  open = { feature, points: [], budget: null, curve: [], curveAt: 0, best: undefined, ttl: null, at: 0, levers: null };
  ask("/api/v1/budget-history/" + encodeURIComponent(feature)).then((answer) => {
    if (mine !== asked || !answer) return;
    // What events brought meanwhile is at the end of the node's own list or after it.
    const last = answer.points.at(-1)?.at_ms ?? 0;
    open.points = [...answer.points, ...open.points.filter((p) => p.at_ms > last)];
    draw();
  });
}

export function forgetDetail() {
  asked++;
  open = null;
}

// The classes of keys are too many for an event.
async function refresh(feature) {
  const mine = asked;
  const whole = await ask("/api/v1/budgets/" + encodeURIComponent(feature));
  if (mine !== asked) return;
  if (whole) open.whole = whole;
  if (hasLevers === null) hasLevers = Boolean((await ask("/api/v1/openapi.json"))?.paths?.["/api/v1/levers"]);
  const log = hasLevers ? await ask("/api/v1/levers") : null;
  if (mine !== asked) return;
  open.levers = Array.isArray(log?.levers) ? log.levers.filter((one) => one.feature === feature) : [];
  draw();
}

function pointOf(f, at) {
  return {
    at_ms: at, u_per_second: f.workload.u_per_second, r_per_second: f.workload.r_per_second, ttl_seconds: f.delivery.ttl_seconds,
    delay_seconds: f.delivery.delay_seconds, origin_loads_per_second: f.origin_loads_per_second, predicted: f.predicted?.over_limit ?? null,
    by_stream: f.measured.by_stream?.stale_fraction ?? null, by_origin: f.measured.by_origin?.stale_fraction ?? null,
  };
}

// `f`: what the last event said; null: the node knows no such budget.
export function drawDetail(f) {
  if (!open) return;
  open.budget = f;
  if (f && state.budgets.at_ms > open.at) {
    open.at = state.budgets.at_ms;
    if (!(open.points.at(-1)?.at_ms >= open.at)) open.points.push(pointOf(f, open.at));
    if (open.points.length > POINTS_MAX) open.points.shift();
    refresh(f.feature);
  }
  draw();
}

// ---- over time ----

const points = () => open?.points ?? [];
const limit = () => (open?.budget ? open.budget.budget.max_staleness_ms / 1000 : 0);
const allowed = () => open?.budget?.budget.stale_fraction ?? 0;
const end = () => points().at(-1)?.at_ms ?? 0;
const shownSeconds = () => Math.max(SHOWN_MIN_S, points().length ? (end() - points()[0].at_ms) / 1000 : 0);

// Round steps of time, at most six.
function timeSplits() {
  const step = [30, 60, 300, 600, 900].find((s) => shownSeconds() / s <= 6) ?? 1200;
  const out = [];
  for (let t = 0; t <= shownSeconds(); t += step) out.unshift(-t);
  return out;
}

function overTime(id, spec) {
  return new Chart(id, {
    sync: "budget", xSplits: timeSplits,
    xRange: () => [-shownSeconds(), 0],
    xAxis: (ticks) => ticks.map((t) => (t === 0 || Object.is(t, -0) ? "now" : "−" + duration(-t))),
    data: () => [points().map((p) => (p.at_ms - end()) / 1000), ...spec.series.map((s) => points().map((p) => s.value(p) ?? null))],
    figures: (index) => {
      const point = (index != null && points()[index]) || points().at(-1);
      return spec.series.map((s) => (point ? s.value(point) : null));
    },
    ...spec,
  });
}

const positive = (x) => (x > 0 ? x : null);
const CHARTS = [
  overTime("over", {
    series: [
      { label: "stream", mark: "l1", value: (p) => p.by_stream, points: true },
      { label: "origin", mark: "origin", value: (p) => p.by_origin, points: true, spanGaps: true },
      { label: "predicted", mark: "l2", value: (p) => p.predicted },
      { label: "allowed", mark: "bad", value: () => allowed(), dash: true },
    ],
    yAxis: percent, show: percent,
  }),
  overTime("depends", {
    series: [
      { label: "u", mark: "origin", value: (p) => positive(p.u_per_second), show: (v) => figure(v) + "/s" },
      { label: "r", mark: "l1", value: (p) => positive(p.r_per_second), show: (v) => figure(v) + "/s" },
      { label: "T", mark: "l2", value: (p) => positive(p.ttl_seconds), show: duration },
      { label: "D", mark: "limit", value: (p) => positive(p.delay_seconds), show: duration },
    ],
    yLog: true, yFloor: 1e-9, yAxis: figure, show: figure,
  }),
];

// ---- how stale ----

const ways = () => (open?.budget ? [open.budget.by_stream_totals, open.budget.by_origin_totals] : []);
const totalOf = (counts) => counts.reduce((a, b) => a + b, 0);
const edges = () => open?.budget?.by_stream_totals.staleness_edges_seconds ?? [];

// Where a length of time stands among the bars, which are one apart; between two edges by its logarithm.
function placeAmong(seconds) {
  const all = edges();
  const next = all.findIndex((edge) => edge >= seconds);
  if (next < 0) return all.length - 0.5;
  if (next === 0) return -0.5 + 1;
  const [low, high] = [all[next - 1], all[next]];
  return next - 0.5 + Math.log(seconds / low) / Math.log(high / low);
}

function shares() {
  return ways().map((totals) => {
    const sum = totalOf(totals.staleness_counts);
    return totals.staleness_counts.map((n) => (sum > 0 ? n / sum : null));
  });
}

const histogram = new Chart("stale", {
  series: [
    { label: "stream", mark: "l1", fill: true, paths: bars(-1) },
    { label: "origin", mark: "origin", fill: true, paths: bars(1) },
  ],
  xRange: () => [-0.7, edges().length + 0.7],
  xSplits: () => edges().map((edge, i) => i + 0.5).filter((_, i) => i % 3 === 0),
  xAxis: (ticks) => ticks.map((t) => duration(edges()[Math.round(t - 0.5)])),
  data: () => [[...edges().map((_, i) => i), edges().length], ...(shares().length ? shares() : [[], []])],
  figures: (index) => (index == null ? [null, null] : shares().map((s) => s[index])),
  yAxis: percent, show: percent, yRange: (max) => [0, Math.min(1, max * 1.15)],
  over: (u) => { if (limit() > 0) rule(u, "x", placeAmong(limit()), "bad", "limit " + duration(limit())); },
});

function drawStale() {
  const [stream, origin] = ways();
  const sums = [["stream", stream], ["origin", origin]].filter(([, t]) => t.reads > 0)
    .map(([way, t]) => way + ": " + count(totalOf(t.staleness_counts)) + " of " + count(t.reads) + " reads were stale at all");
  text("n-stale", sums.length ? sums.join("; ") + ", since the start." : "Not measured yet.");
  histogram.draw();
}

// ---- what if ----

const workload = () => open?.whole?.workload;
const delivery = () => open?.whole?.delivery;
const now = () => (workload() ? predict(workload(), delivery(), limit()) : null);
const chosen = () => (workload() && open.ttl ? predict(workload(), { ...delivery(), ttl_seconds: open.ttl }, limit()) : null);

// By load, ascending, as the axis goes; loads of nearly the same size must not go back.
function curveData() {
  const curve = [...(open?.curve ?? [])].reverse().filter((p) => p.loads > 0);
  return [curve.map((p) => p.loads), curve.map((p) => positive(p.stale)), curve.map((p) => positive(p.over)), curve.map(() => positive(allowed()))];
}

const whatIf = new Chart("whatif", {
  series: [
    { label: "stale at all", mark: "l2" },
    { label: "over the limit", mark: "l1" },
    { label: "allowed", mark: "bad", dash: true },
  ],
  xLog: true, yLog: true, yFloor: 1e-7,
  xAxis: (ticks) => ticks.map((t) => figure(t) + "/s"),
  data: curveData,
  figures: (index) => {
    const [loads, stale, over] = curveData();
    const one = chosen();
    if (index != null && loads[index] != null) return [stale[index] ?? 0, over[index] ?? 0, allowed()];
    return one ? [one.stale, one.over, allowed()] : [null, null, null];
  },
  yAxis: percent, show: percent,
  over: (u) => {
    const [here, there] = [now(), chosen()];
    if (here) { dot(u, here.loads, here.stale, "l2", true); dot(u, here.loads, here.over, "l1", true); }
    if (!there) return;
    rule(u, "x", there.loads, "accent", duration(open.ttl));
    dot(u, there.loads, there.stale, "l2");
    dot(u, there.loads, there.over, "l1");
  },
});

function drawWhatIf() {
  const known = workload()?.classes.length > 0;
  el("ttl").disabled = !known;
  if (!known) {
    text("ttl-now", "–");
    el("w-facts").replaceChildren();
    text("w-note", "The keys' rates are not known yet; they are learnt from reads.");
    return whatIf.draw();
  }
  if (Date.now() - open.curveAt > CURVE_EVERY_MS) {
    open.curveAt = Date.now();
    open.curve = ttlCurve(workload(), delivery(), limit());
    open.best = longestTtlWithin(workload(), delivery(), limit(), allowed());
  }
  if (open.ttl === null) {
    open.ttl = delivery().ttl_seconds;
    el("ttl").value = String(Math.round(600 * placeOf(open.ttl)));
  }
  const [here, there] = [now(), chosen()];
  text("ttl-now", duration(open.ttl));
  el("ttl").setAttribute("aria-valuetext", duration(open.ttl));
  const keeps = there.over <= allowed();
  el("w-facts").replaceChildren(
    fact("Stale at all", percent(there.stale)), fact("Over " + duration(limit()), percent(there.over), !keeps),
    fact("Origin loads", figure(there.loads) + "/s" + (here.loads > 0 ? ", " + figure(there.loads / here.loads) + "× of now" : "")),
    fact("Budget", keeps ? "kept" : "missed", !keeps));
  const best = open.best == null ? "No ttl keeps the budget: changes arrive too late or not at all." : "The longest ttl that keeps the budget: " + duration(open.best) + ".";
  text("w-note", best + " Hollow: now, ttl " + duration(delivery().ttl_seconds) + ". A model, as if nothing were evicted; the slider changes nothing.");
  whatIf.draw();
}

el("ttl").addEventListener("input", () => {
  if (!open) return;
  open.ttl = ttlAt(Number(el("ttl").value) / 600);
  drawWhatIf();
});

// ---- why, by which way, how fast ----

const CAUSES = {
  lag: "the change was on its way", lost: "the stream never told", "ttl-only": "only the ttl ends an old value", race: "served after the change was applied",
  "serve-stale": "served on purpose, the origin failed", replica: "the load itself was old",
};

function drawCauses(f) {
  const [span, whole] = [f.measured.by_origin ?? f.measured.by_stream, f.measured.by_origin_window ?? f.measured.by_stream_window];
  const measured = whole ?? span;
  text("n-causes", measured ? "of reads, by " + (f.measured.by_origin_window ? "the origin" : "the stream") + ", in the budget's window" : "");
  if (!measured) return el("causes").replaceChildren(make("li", "none", "Not measured."));
  const most = Math.max(...Object.values(measured.by_cause), Number.MIN_VALUE);
  el("causes").replaceChildren(...Object.entries(CAUSES).map(([cause, words]) => {
    const item = make("li");
    const name = make("span", "cause", cause);
    name.append(make("span", "sub", words));
    const track = make("span", "track");
    track.setAttribute("aria-hidden", "true");
    const part = make("i");
    part.style.width = (100 * (measured.by_cause[cause] ?? 0)) / most + "%";
    track.append(part);
    item.append(name, track, make("b", measured.by_cause[cause] > 0 ? "" : "none", percent(measured.by_cause[cause] ?? 0)));
    return item;
  }));
}

const line = (...cells) => {
  const row = make("tr");
  row.append(...cells.map((cell) => (cell instanceof Node ? cell : make("td", "", cell))));
  return row;
};

const STAGES = { feed: "read from the origin's feed", l2: "marked in L2", append: "in the region's stream", applied: "dropped from this node's L1" };

function drawLag(f) {
  const river = state.status?.river?.origins.find((o) => o.name === f.origin);
  text("n-lag", f.delivery.is_pushed ? "of all changes of " + f.origin : "");
  const rows = !f.delivery.is_pushed || !river ? [line(make("td", "none", "Nobody listens for this feature's changes: only its ttl ends an old value."))]
    : Object.entries(STAGES).map(([stage, words]) => {
      const lag = river.lag[stage];
      return lag ? line(words, microsText(lag.p50_us), microsText(lag.p99_us), microsText(lag.p999_us), count(lag.count)) : line(words, "–", "–", "–", "none");
    });
  if (rows.length === 1) rows[0].firstChild.colSpan = 5;
  el("lag").replaceChildren(...rows);
}

function drawBurns(f) {
  el("burns").replaceChildren(...f.burn.map((b) => line(duration(b.window_ms / 1000), make("td", b.reads > 0 && b.rate > 1 ? "warn" : "", b.reads > 0 ? figure(b.rate) + "×" : "not measured"), count(b.reads))));
}

function drawParts(f) {
  el("parts").replaceChildren(...(f.parts.length ? f.parts.map((p) => line(p.by, p.tier + ", " + p.level, count(p.reads), p.reads > 0 ? percent(p.stale / p.reads) : "–"))
    : [line(make("td", "none", "Nothing judged yet."))]));
}

// ---- levers ----

function numbersOf(lever) {
  return Object.entries(lever.numbers ?? {}).map(([name, value]) => name + " " + (typeof value === "number" ? figure(value) : String(value))).join(", ");
}

function drawLevers() {
  const levers = [...(open.levers ?? [])].sort((a, b) => b.at_ms - a.at_ms).slice(0, LEVERS_SHOWN);
  text("n-levers", levers.length ? "latest first" : "");
  el("levers").replaceChildren(...(levers.length ? levers.map((one) => {
    const item = make("li");
    const words = make("div");
    const change = one.from && one.to && one.from !== one.to ? ", " + one.from + " → " + one.to : "";
    words.append(make("b", "", one.lever + ": " + one.action + change), make("span", "tag " + (one.mode === "auto" ? "unsure" : "none"), one.mode), make("span", "sub", one.reason));
    const numbers = numbersOf(one);
    if (one.refused) words.append(make("span", "sub warn", "Refused: " + one.refused));
    if (numbers) words.append(make("span", "sub numbers", numbers));
    item.append(make("time", "", clockTime(one.at_ms)), words);
    return item;
  }) : [make("li", "none", "No levers pulled.")]));
}

// ---- the head ----

function measuredWords(way, span, whole) {
  const of = (m) => percent(m.stale_fraction) + " (" + intervalWords(m) + ", n " + count(m.reads) + ")";
  return fact("By " + way, whole ? of(whole) + (span ? "; lately " + percent(span.stale_fraction) : "") : "not measured");
}

function drawHead(f) {
  const verdict = verdictOf(f);
  text("d-name", f.feature + ", " + f.region);
  el("d-tags").replaceChildren(make("span", "tag " + verdict.mark, verdict.words), make("span", "tag none", f.control));
  text("d-promise", "At most " + allowedWords(f) + " in " + duration(f.budget.window_ms / 1000) + (f.impact ? ": " + f.impact : "") + (f.owner ? ". Agreed by " + f.owner : "") + ".");
  const problems = [];
  if (f.lost_keys_known > 0) problems.push("The stream lost changes of at least " + f.lost_keys_known + (f.lost_keys_known === 1 ? " key." : " keys."));
  if (f.checks_paused) problems.push("Checks against the origin pause, because it suffers.");
  el("d-problem").hidden = problems.length === 0;
  text("d-problem", problems.join(" "));
  const p = f.predicted;
  el("d-facts").replaceChildren(
    measuredWords("stream", f.measured.by_stream, f.measured.by_stream_window),
    measuredWords("origin", f.measured.by_origin, f.measured.by_origin_window),
    fact("Predicted", p ? percent(p.over_limit) + " over the limit, " + percent(p.stale) + " stale at all, at most " + percent(p.bound) : "not known"),
    fact("Served as", f.level + ", from " + f.origin),
    fact("Changes", f.delivery.is_pushed ? "heard of, " + duration(f.delivery.delay_seconds) + " after commit" + (f.delivery.loss > 0 ? ", " + percent(f.delivery.loss) + " lost" : "") : "not heard of"),
    fact("Origin loads", figure(f.origin_loads_per_second) + "/s, " + figure(f.check_loads_per_second) + "/s of them checks"),
  );
  text("h-over", "Reads staler than " + duration(limit()));
}

function draw() {
  if (!open || state.paused) return;
  const f = open.budget;
  if (!f) {
    text("d-name", open.feature);
    text("d-promise", state.budgets ? "No such budget on this node." : "");
    return;
  }
  drawHead(f);
  CHARTS.forEach((chart) => chart.draw());
  drawStale();
  drawWhatIf();
  drawCauses(f);
  drawLag(f);
  drawBurns(f);
  drawParts(f);
  drawLevers();
}
