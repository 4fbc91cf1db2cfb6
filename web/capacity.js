// Is L1 large enough, what would less or more memory do, and who deserves it: asked every few seconds while the live page is looked at.
import { bytes, count, duration, el, make, oneDigit, text } from "/words.js";

const POLL_MS = 5000;  // as often as the node counts anew
const DAYS_SHOWN_MAX = 30;  // a limit that is farther away is no news
const GAIN_MIN = 0.005;     // of the hit ratio: less is within the curve's error
const PATIENCE_MS = 4000;   // for an answer; the page's connection trouble is told elsewhere
const KEPT_MS = 60_000;     // an answer after which every question failed: old by seconds is better than gone

let known = null;  // the last answer; null: none
let shown = null;  // what the page shows of it
let askedAt = -POLL_MS;
let answeredAt = 0;
let isAsking = false;

async function ask() {
  askedAt = performance.now();
  isAsking = true;
  try {
    const answer = await fetch("/api/v1/capacity", { cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) });
    if (!answer.ok) return;
    known = await answer.json();
    answeredAt = performance.now();
  } catch {
    // asked again after POLL_MS
  } finally {
    isAsking = false;
  }
}

const ratio = (fraction) => (fraction == null ? "–" : oneDigit(100 * fraction) + " %");
// Would more memory help it, and does it deserve more than it has?
const isShort = (one) => one.deserved_bytes > 1.1 * one.bytes && one.at[2].hit_ratio - one.at[1].hit_ratio > GAIN_MIN;

// A hit ratio, and under it what the origin would bear.
function sizeCell(size) {
  const cell = make("td", size.memory === 1 ? "" : "wide");
  cell.append(make("span", "", ratio(size.hit_ratio)), make("span", "sub", count(size.loads_per_second) + " loads/s"));
  return cell;
}

function row(one, name) {
  const line = make("tr");
  const first = make("td");
  first.append(make("span", "name", name));
  line.append(first, make("td", "", count(one.reads_per_second)));
  if (!one.reads_l1) {
    const note = make("td", "none", "never reads L1");
    note.colSpan = 7;
    line.append(note);
    return line;
  }
  line.append(make("td", "", ratio(one.hit_ratio)), ...one.at.map(sizeCell));
  const deserved = make("td", isShort(one) ? "more" : "", bytes(one.deserved_bytes));
  line.append(make("td", "wide", bytes(one.bytes)), deserved);
  return line;
}

function memoryWords(memory) {
  if (!memory.source) return "L1 " + bytes(memory.l1_allowed_bytes) + "; the process's own limit is not known";
  return "process " + bytes(memory.used_bytes) + " of " + bytes(memory.limit_bytes) + " (" + memory.source + "), L1 gives back from " + bytes(memory.watermark_bytes) + " on";
}

// That L1 is full is what a cache is for; that what is read in a while no longer fits is not.
function limitWords(trends) {
  const days = trends.find((one) => one.of === "working_set_bytes")?.days_to_limit;
  return days != null && days <= DAYS_SHOWN_MAX ? ["the working set no longer fits in " + duration(86400 * days)] : [];
}

function draw() {
  el("capacity").hidden = !known?.memory;
  if (el("capacity").hidden) return;
  const { memory, curves, trends } = known;
  text("n-capacity", memoryWords(memory));
  const isPressed = memory.l1_allowed_bytes < memory.l1_configured_bytes;
  const troubles = limitWords(trends);
  if (isPressed) troubles.unshift("memory is short: L1 may hold " + bytes(memory.l1_allowed_bytes) + " of its " + bytes(memory.l1_configured_bytes));
  el("capacity-trouble").hidden = troubles.length === 0;
  text("capacity-trouble", troubles.join("; "));
  el("curves").hidden = !curves;
  el("no-curves").hidden = Boolean(curves);
  if (!curves) return;
  const rows = curves.features.map((one) => row(one, one.feature));
  if (curves.features.length > 1) rows.push(row(curves.all, "all"));
  el("curve-rows").replaceChildren(...rows);
  text("cold", ratio(curves.all.cold_fraction) + " of reads no memory would answer: keys read for the first time, or changed since. Counts of the last " + duration(curves.window_seconds) + ".");
}

// Called with every point of the live page, and not while it is paused.
export function drawCapacity() {
  if (!isAsking && performance.now() - askedAt >= POLL_MS) ask();
  if (known && performance.now() - answeredAt > KEPT_MS) known = null;
  if (known === shown) return;
  shown = known;
  draw();
}
