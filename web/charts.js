// Charts, drawn by uPlot where it is built in. A chart is made once from what it shows, and asked to draw whenever that changed.
import { el, make } from "/words.js";

export const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const color = (mark) => css(mark === "limit" ? "--faint" : "--" + mark);
const isBuiltIn = () => typeof uPlot !== "undefined";

// The scale's top is a round number just above what is drawn, so that the lines do not dance with every point.
export function niceTop(max) {
  if (!(max > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(max));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map((step) => step * power).find((top) => top >= max * 1.05) ?? 20 * power;
}

function logRange(min, max, floor) {
  if (!(max > 0)) return [1, 1000];
  return [10 ** Math.floor(Math.log10(Math.max(min, floor))), 10 ** Math.ceil(Math.log10(max * 1.01))];
}

// At most six labels, however many decades there are.
function decades(u, axis) {
  const out = [];
  const scale = u.axes[axis].scale;
  const [low, high] = [Math.round(Math.log10(u.scales[scale].min)), Math.round(Math.log10(u.scales[scale].max))];
  const step = Math.max(1, Math.ceil((high - low) / 5));
  for (let power = low; power <= high; power += step) out.push(10 ** power);
  return out;
}

const all = new Set();

// `spec`: series [{label, mark, fill, dash, points, show, paths}], data() → [x, y…], figures(index) → a value for each series,
// xRange(), xAxis(ticks), xLog, yLog, yFloor, yAxis(v), yRange(max), ySplits(u), show(v), stacked, over(u): drawn on top.
export class Chart {
  constructor(id, spec) {
    this.holder = el("c-" + id);
    this.spec = spec;
    this.labels = spec.series.map((s) => {
      const item = make("li");
      const value = make("b", "", "–");
      item.append(make("span", "swatch " + s.mark + (s.dash ? " dash" : "")), make("span", "", s.label), value);
      el("k-" + id).append(item);
      return value;
    });
    if (!isBuiltIn()) this.holder.append(make("p", "missing", "Charts are not built in: run scripts/install and build again."));
    all.add(this);
    new ResizeObserver(() => this.draw()).observe(this.holder);
  }

  draw() {
    const { clientWidth: width, clientHeight: height } = this.holder;
    if (!isBuiltIn() || width === 0 || height === 0) return this.showKey(null);
    if (this.plot && this.width === width && this.height === height) {
      this.plot.setData(this.spec.data());
    } else {
      this.plot?.destroy();
      [this.width, this.height] = [width, height];
      this.plot = new uPlot(this.options(width, height), this.spec.data(), this.holder);
    }
    this.showKey(this.plot.cursor.idx);
  }

  rebuild() {
    this.plot?.destroy();
    this.plot = null;
    this.draw();
  }

  showKey(index) {
    const values = this.spec.figures(index);
    this.spec.series.forEach((s, i) => {
      const words = values[i] == null ? "–" : (s.show || this.spec.show)(values[i]);
      if (this.labels[i].textContent !== words) this.labels[i].textContent = words;
    });
    const words = this.spec.series.map((s, i) => s.label + " " + this.labels[i].textContent).join(", ");
    if (this.holder.getAttribute("aria-label") !== words) this.holder.setAttribute("aria-label", words);
  }

  options(width, height) {
    const { spec } = this;
    const axis = { stroke: css("--faint"), font: "12px system-ui, sans-serif", ticks: { show: false } };
    const ySplits = spec.yLog ? decades : spec.ySplits;
    const y = spec.yLog ? { distr: 3, range: (u, min, max) => logRange(min, max, spec.yFloor ?? 0.1) }
      : { range: (u, min, max) => (spec.yRange && max > 0 ? spec.yRange(max) : [0, niceTop(max)]) };
    const x = spec.xLog ? { time: false, distr: 3, range: (u, min, max) => logRange(min, max, 1e-6) } : { time: false, range: () => spec.xRange() };
    return {
      width, height, padding: [8, 14, 0, 0], legend: { show: false },
      cursor: { y: false, points: { size: 7 }, drag: { setScale: false, x: false, y: false }, ...(spec.sync && { sync: { key: spec.sync } }) },
      scales: { x, y },
      axes: [
        { ...axis, grid: { show: false }, size: 26, gap: 8, values: (u, ticks) => spec.xAxis(ticks),
          ...(spec.xSplits && { splits: spec.xSplits }), ...(spec.xLog && { splits: decades, filter: (u, ticks) => ticks }) },
        { ...axis, grid: { stroke: css("--grid"), width: 1 }, size: 62, ...(ySplits && { splits: ySplits }), ...(spec.yLog && { filter: (u, ticks) => ticks }),
          values: (u, ticks) => ticks.map((t) => spec.yAxis(t)) },
      ],
      series: [{}, ...spec.series.map((s) => ({
        stroke: color(s.mark), width: s.dash ? 1.25 : 1.75, spanGaps: s.spanGaps ?? false, points: { show: s.points ?? false, size: 5, fill: color(s.mark) },
        fill: s.fill ? css("--" + s.mark + "-fill") : undefined, dash: s.dash ? [5, 5] : undefined, ...(s.paths && { paths: s.paths() }),
      }))],
      // A stacked series fills only down to the one below it, or their colours would mix.
      bands: spec.stacked ? spec.series.slice(1).map((s, i) => ({ series: [i + 1, i + 2] })) : [],
      hooks: { setCursor: [(u) => this.showKey(u.cursor.idx)], ...(spec.over && { draw: [(u) => spec.over(u)] }) },
    };
  }
}

export const bars = (align) => () => uPlot.paths.bars({ size: [0.42, 40], align });

// A line across the plot, with a word beside it. `at` is a place on the scale.
export function rule(u, scale, at, mark, word) {
  const place = u.valToPos(at, scale, true);
  const { left, top, width, height } = u.bbox;
  const across = scale === "x";
  if (!(place >= (across ? left : top) && place <= (across ? left + width : top + height))) return;
  const { ctx } = u;
  ctx.save();
  ctx.strokeStyle = ctx.fillStyle = css("--" + mark);
  ctx.lineWidth = 1.5 * devicePixelRatio;
  ctx.setLineDash([4 * devicePixelRatio, 4 * devicePixelRatio]);
  ctx.beginPath();
  if (across) { ctx.moveTo(place, top); ctx.lineTo(place, top + height); } else { ctx.moveTo(left, place); ctx.lineTo(left + width, place); }
  ctx.stroke();
  if (word) {
    ctx.font = "600 " + 11 * devicePixelRatio + "px system-ui, sans-serif";
    const wide = ctx.measureText(word).width, gap = 5 * devicePixelRatio;
    const fits = place + gap + wide < left + width;
    if (across) ctx.fillText(word, fits ? place + gap : place - gap - wide, top + 11 * devicePixelRatio);
    else ctx.fillText(word, left + width - wide, place - gap > top + 8 ? place - gap : place + 13 * devicePixelRatio);
  }
  ctx.restore();
}

export function dot(u, x, y, mark, hollow) {
  if (!(x > 0) || !(y > 0)) return;
  const { ctx } = u;
  const { left, top, width, height } = u.bbox;
  const [px, py] = [u.valToPos(x, "x", true), u.valToPos(y, "y", true)];
  if (px < left - 1 || px > left + width + 1 || py < top - 1 || py > top + height + 1) return;
  ctx.save();
  ctx.beginPath();
  ctx.arc(px, py, 5 * devicePixelRatio, 0, 2 * Math.PI);
  ctx.lineWidth = 2 * devicePixelRatio;
  ctx.strokeStyle = css("--" + mark);
  ctx.fillStyle = hollow ? css("--card") : css("--" + mark);
  ctx.fill();
  ctx.stroke();
  ctx.restore();
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => all.forEach((chart) => chart.rebuild()));
