// The dashboard. Live by server-sent events, by polling once a second when events do not come through. Two views: the budgets, and what the
// node does now; the part of the address after # says which, so that a wall can be given its page.
import { closeDetail, drawBudgets, openedFeature, showDetail } from "/budgets.js";
import { drawLive, setWindow } from "/live.js";
import { POINTS_MAX, WINDOWS, state } from "/state.js";
import { count, el, span, text } from "/words.js";

const SILENCE_LIMIT_MS = 4000;   // a tick comes every second; after this the page says that it is not live
const EVENT_FAILURES_MAX = 3;    // then poll
const BUDGET_POLL_MS = 5000;     // budgets are evaluated so often
const CHOOSE_WITHIN_MS = 1500;   // without a word from the node by then, the live page is shown, empty

// ---- views ----

const VIEWS = ["budgets", "live"];
let view = null;            // not chosen yet
let isChosenBlind = false;  // for want of a word from the node: what it says first chooses again

function wanted() {
  const [name, feature] = location.hash.slice(1).split("/");
  if (!VIEWS.includes(name)) return null;
  try {
    return { name, feature: feature ? decodeURIComponent(feature) : null };
  } catch {
    return { name, feature: null };
  }
}

function show(name, feature) {
  view = name;
  for (const one of VIEWS) {
    el("view-" + one).hidden = one !== name;
    if (one === name) el("to-" + one).setAttribute("aria-current", "page");
    else el("to-" + one).removeAttribute("aria-current");
  }
  el("window").hidden = name !== "live";
  el("skip").textContent = name === "live" ? "Skip to the features" : "Skip to the budgets";
  if (name === "budgets" && feature) showDetail(feature);
  else closeDetail();
  draw();
}

// The address decides; without one, the budgets if there are any.
function choose(isLate) {
  const asked = wanted();
  if (asked) {
    isChosenBlind = false;
    return show(asked.name, asked.feature);
  }
  if (view && !isChosenBlind) return;
  isChosenBlind = !state.status;
  if (state.budgets?.features.length) show("budgets");
  else if (state.status || isLate) show("live");
}

el("skip").addEventListener("click", (event) => {
  event.preventDefault();  // the address belongs to the views
  el(view === "live" ? "features" : "budgets").focus();
});
addEventListener("hashchange", () => choose(false));
addEventListener("keydown", (event) => {
  if (event.key === "Escape" && view === "budgets" && openedFeature() !== null) location.hash = "#budgets";
});

// ---- what arrives ----

function learnRates(status) {
  for (const f of status.features) {
    const before = state.rates.get(f.name);
    const seconds = before ? status.uptime_seconds - before.at : 0;
    if (seconds > 0 && f.reads >= before.reads) state.rates.set(f.name, { at: status.uptime_seconds, reads: f.reads, rate: (f.reads - before.reads) / seconds });
    else if (!before || seconds < 0 || f.reads < before.reads) state.rates.set(f.name, { at: status.uptime_seconds, reads: f.reads, rate: 0 });
  }
}

function drawHeader() {
  const { status } = state;
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

function drawWarming() {
  const warm = state.status?.warm;
  el("warming").hidden = !warm?.running;
  if (!warm?.running) return;
  const done = warm.keys.total - warm.keys.waiting;
  el("warm-bar").value = warm.keys.total > 0 ? done / warm.keys.total : 0;
  const words = [count(done) + " of " + count(warm.keys.total) + " keys", count(warm.keys_per_second) + "/s"];
  if (warm.eta_ms != null) words.push(span(warm.eta_ms / 1000) + " left");
  const critical = warm.by_priority.critical;
  if (critical.waiting > 0) words.push(count(critical.waiting) + " critical ones to come");
  if (warm.keys.failed > 0) words.push(count(warm.keys.failed) + " failed");
  text("n-warming", words.join(", "));
}

function draw() {
  if (state.paused) return;
  drawHeader();
  drawWarming();
  if (view === "live") drawLive();
  if (view === "budgets") drawBudgets();
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
  if (!view || isChosenBlind) choose(false);
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
  source.addEventListener("history", (e) => {
    const data = JSON.parse(e.data);
    state.points = data.points;
    if (data.budgets) state.budgets = data.budgets;
    failures = 0;
    draw();
  });
  source.addEventListener("tick", (e) => {
    const data = JSON.parse(e.data);
    failures = 0;
    link("live", "Live");
    if (data.budgets) state.budgets = data.budgets;
    arrived(data.status, data.point);
  });
  source.onerror = () => {
    failures++;
    if (failures < EVENT_FAILURES_MAX && source.readyState !== EventSource.CLOSED) return;
    source.close();
    poll(null, 0);
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
    in_flight: now.origins.reduce((total, o) => total + o.in_flight, 0), in_flight_limit: now.origins.reduce((total, o) => total + o.concurrency_limit, 0),
  };
}

async function ask(path) {
  try {
    const answer = await fetch(path, { cache: "no-store" });
    return answer.ok ? await answer.json() : null;
  } catch {
    return null;  // shown as not connected
  }
}

async function poll(before, budgetsAt) {
  const status = await ask("/api/v1/status");
  const isDue = status && Date.now() - budgetsAt >= BUDGET_POLL_MS;
  if (isDue) state.budgets = (await ask("/api/v1/budgets")) ?? state.budgets;
  if (status) {
    link("polling", "Polling");
    arrived(status, before ? pointBetween(before, status) : null);
  }
  setTimeout(() => poll(status ?? before, isDue ? Date.now() : budgetsAt), status ? 1000 : 3000);
}

// ---- the page ----

el("pause").addEventListener("click", () => {
  state.paused = !state.paused;
  el("pause").setAttribute("aria-pressed", String(state.paused));
  text("pause", state.paused ? "Resume" : "Pause");
  draw();
});
el("window").addEventListener("click", () => {
  setWindow(WINDOWS[(WINDOWS.indexOf(state.window) + 1) % WINDOWS.length]);
  el("window").setAttribute("aria-pressed", String(state.window !== WINDOWS[0]));
  text("window", state.window / 60 + " min");
});
setInterval(() => {
  if (state.last && Date.now() - state.last > SILENCE_LIMIT_MS) link("lost", "No answer");
}, 1000);
setTimeout(() => choose(true), CHOOSE_WITHIN_MS);

choose(false);
if (typeof EventSource === "undefined") poll(null, 0);
else listen();
