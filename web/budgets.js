// The budgets' page: a row for each feature and region, the worst first; Enter or a click opens one below the table.
import { drawDetail, forgetDetail, openDetail } from "/detail.js";
import { state } from "/state.js";
import { count, duration, el, figure, make, percent, text } from "/words.js";

const METER_DECADES = 6;  // of the logarithmic scale, from a millionth to all reads
const rows = new Map();   // by feature and region, so that a row keeps its focus while its figures change
let opened = null;        // name of the feature that is shown below
let returnTo = null;      // its row, where the focus goes back to

export const openedFeature = () => opened;
const keyOf = (f) => f.feature + "\n" + f.region;
const found = (name) => state.budgets?.features.find((f) => f.feature === name) ?? null;

// ---- what a row says ----

// "Inside" says that nothing measured contradicts the budget. As long as every interval reaches beyond what is allowed, too few reads were
// judged to say more, and the page does not call that kept.
export function isDecided(f) {
  return [f.measured.by_stream_window, f.measured.by_origin_window].some((m) => m && m.high <= f.budget.stale_fraction);
}

export function verdictOf(f) {
  if (f.state === "page") return { rank: 0, words: f.verdict === "outside" ? "Missed, page" : "Page", mark: "bad" };
  if (f.verdict === "outside") return { rank: 1, words: f.state === "ticket" ? "Missed, ticket" : "Missed", mark: "bad" };
  if (f.state === "ticket") return { rank: 2, words: "Ticket", mark: "unsure" };
  if (f.verdict === "not measured") return { rank: 3, words: "Not measured", mark: "none" };
  if (!isDecided(f)) return { rank: 4, words: "Too few reads", mark: "none" };
  return { rank: 5, words: "Kept", mark: "good" };
}

export const allowedWords = (f) => percent(f.budget.stale_fraction) + " over " + duration(f.budget.max_staleness_ms / 1000);

// The fastest of the windows that have seen reads.
export function fastestBurn(f) {
  const measured = f.burn.filter((b) => b.reads > 0 && b.rate != null);
  return measured.length ? measured.reduce((a, b) => (b.rate > a.rate ? b : a)) : null;
}

export const intervalWords = (m) => (m.low < 1e-6 ? "at most " : percent(m.low) + " to ") + percent(m.high);

const place = (fraction) => (fraction > 0 ? Math.min(1, Math.max(0, 1 + Math.log10(fraction) / METER_DECADES)) : 0);

// The interval on a logarithmic scale, against what is allowed.
function meter(measured, allowed) {
  const track = make("span", "meter");
  track.setAttribute("aria-hidden", "true");
  const part = make("i", measured.low > allowed ? "bad" : measured.high <= allowed ? "good" : "unsure");
  const [low, high] = [place(measured.low), place(measured.high)];
  part.style.left = 100 * low + "%";
  part.style.width = Math.max(2, 100 * (high - low)) + "%";
  const dot = make("b", part.className);
  dot.style.left = 100 * place(measured.stale_fraction) + "%";
  const tick = make("em");
  tick.style.left = 100 * place(allowed) + "%";
  track.append(part, dot, tick);
  return track;
}

function measuredLine(way, measured, allowed) {
  const line = make("span", "measured");
  line.append(make("span", "way", way));
  if (!measured) {
    line.append(make("span", "none", "not measured"));
    return line;
  }
  line.append(meter(measured, allowed), make("b", "", percent(measured.stale_fraction)),
    make("span", "sub", intervalWords(measured) + ", n " + count(measured.reads)));
  return line;
}

function remaining(f) {
  if (f.verdict === "not measured" || f.budget_remaining == null) return [make("span", "none", "–")];
  const bar = make("span", "left-bar");
  bar.setAttribute("aria-hidden", "true");
  const part = make("i", f.budget_remaining <= 0 ? "bad" : f.budget_remaining < 0.25 ? "unsure" : "good");
  part.style.width = 100 * Math.min(1, Math.max(0, f.budget_remaining)) + "%";
  bar.append(part);
  return [bar, make("span", f.budget_remaining <= 0 ? "warn" : "", (f.budget_remaining < 0 ? "−" : "") + percent(Math.abs(f.budget_remaining)))];
}

// [label for narrow screens, class, content…] of each cell but the first.
function cellsOf(f) {
  const burn = fastestBurn(f);
  const verdict = verdictOf(f);
  const allowed = f.budget.stale_fraction;
  return [
    ["Allowed", "left", make("span", "", allowedWords(f)), make("span", "sub", "in " + duration(f.budget.window_ms / 1000))],
    ["Predicted", "", f.predicted ? make("span", f.predicted.over_limit > allowed ? "warn" : "", percent(f.predicted.over_limit)) : make("span", "none", "not known")],
    ["Measured", "left", measuredLine("stream", f.measured.by_stream_window, allowed), measuredLine("origin", f.measured.by_origin_window, allowed)],
    ["Burn", "", make("span", burn && burn.rate > 1 ? "warn" : "", burn ? figure(burn.rate) + "×" : "–"), make("span", "sub", burn ? "in " + duration(burn.window_ms / 1000) : "")],
    ["Left", "left", ...remaining(f)],
    ["Verdict", "left", make("span", "tag " + verdict.mark, verdict.words)],
  ];
}

// ---- the table ----

function makeRow(f) {
  const row = make("tr");
  row.setAttribute("role", "row");
  const name = make("td", "who");
  name.setAttribute("role", "cell");
  const button = make("button", "open", f.feature);
  button.type = "button";
  button.setAttribute("aria-controls", "detail");
  const sub = make("span", "sub");
  name.append(button, sub);
  row.append(name);
  for (let i = 0; i < 6; i++) {
    const cell = make("td");
    cell.setAttribute("role", "cell");
    row.append(cell);
  }
  row.addEventListener("click", (event) => {
    if (getSelection().isCollapsed || event.target === button) toggle(f.feature);
  });
  return { row, button, sub };
}

function fillRow(entry, f) {
  text(entry.sub, f.region + (f.owner ? " · " + f.owner : ""));
  entry.button.setAttribute("aria-expanded", String(f.feature === opened));
  entry.row.className = f.feature === opened ? "opened" : "";
  cellsOf(f).forEach(([label, className, ...content], i) => {
    const cell = entry.row.children[i + 1];
    cell.className = className;
    cell.dataset.label = label;
    cell.replaceChildren(...content);
  });
}

function toggle(feature) {
  location.hash = feature === opened ? "#budgets" : "#budgets/" + encodeURIComponent(feature);
}

function moveFocus(event) {
  const buttons = [...el("budget-rows").querySelectorAll("button.open")];
  const at = buttons.indexOf(document.activeElement);
  if (at < 0) return;
  const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: buttons.length - 1 }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  buttons[Math.min(buttons.length - 1, Math.max(0, to))].focus();
}
el("budget-rows").addEventListener("keydown", moveFocus);

function drawTable(features) {
  const order = features.map((f) => ({ f, rank: verdictOf(f).rank })).sort((a, b) => a.rank - b.rank || (a.f.feature < b.f.feature ? -1 : 1));
  const keys = order.map((one) => keyOf(one.f));
  for (const [key, entry] of rows) {
    if (keys.includes(key)) continue;
    entry.row.remove();
    rows.delete(key);
  }
  order.forEach(({ f }, i) => {
    const entry = rows.get(keys[i]) ?? makeRow(f);
    rows.set(keys[i], entry);
    fillRow(entry, f);
    const { children } = el("budget-rows");
    if (children[i] === entry.row) return;
    // A row that is moved loses the focus.
    const focused = entry.row.contains(document.activeElement);
    el("budget-rows").insertBefore(entry.row, children[i] ?? null);
    if (focused) entry.button.focus();
  });
}

// ---- the figures above it ----

function drawTiles(features) {
  const by = (test) => features.filter(test).map((f) => f.feature);
  const tiles = {
    missed: [by((f) => f.verdict === "outside"), "bad", "none"],
    alerts: [by((f) => f.state === "page" || f.state === "ticket"), "unsure", "none pages, no ticket"],
    undecided: [by((f) => f.verdict === "not measured" || (f.verdict === "inside" && !isDecided(f))), "", "none"],
    kept: [by((f) => f.verdict === "inside" && isDecided(f)), "good", "none"],
  };
  for (const [id, [names, mark, nobody]] of Object.entries(tiles)) {
    text("f-" + id, String(names.length));
    text("n-" + id, names.length ? names.join(", ") : nobody);
    el("t-" + id).className = names.length ? mark : "";
  }
}

// ---- the page ----

export function drawBudgets() {
  const features = state.budgets?.features ?? [];
  drawTiles(features);
  drawTable(features);
  el("no-budgets").hidden = features.length > 0 || !state.status;
  const total = state.budgets?.features_total ?? features.length;
  const missed = features.filter((f) => f.verdict === "outside").length;
  text("n-budgets", total > features.length ? features.length + " of " + total + ", the worst" : features.length === 0 ? "" : missed === 0 ? "none missed" : missed + " missed of " + features.length);
  if (opened !== null) drawDetail(found(opened));
}

export function showDetail(feature) {
  if (opened === feature) return;
  opened = feature;
  returnTo = [...rows.values()].find((entry) => entry.button.textContent === feature) ?? null;
  el("detail").hidden = false;
  openDetail(feature);
  drawBudgets();
  el("d-name").focus({ preventScroll: true });
  el("detail").scrollIntoView({ block: "start", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
}

export function closeDetail() {
  if (opened === null) return;
  const entry = [...rows.values()].find((one) => one.button.textContent === opened) ?? returnTo;
  opened = null;
  el("detail").hidden = true;
  forgetDetail();
  entry?.button.focus();
}
el("d-close").addEventListener("click", () => { location.hash = "#budgets"; });
