// Words, numbers, and elements. Everything that the node says is shown with textContent: names and reasons are outside text.

export const el = (id) => document.getElementById(id);

const nf = (digits) => new Intl.NumberFormat("en", { maximumFractionDigits: digits, minimumFractionDigits: digits });
const [nf0, nf1, nf2] = [nf(0), nf(1), nf(2)];
const sig3 = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });
export const oneDigit = (n) => nf1.format(n);

export function count(n) {
  if (n == null) return "–";
  if (n >= 1e9) return nf2.format(n / 1e9) + " G";
  if (n >= 1e6) return nf2.format(n / 1e6) + " M";
  if (n >= 1e4) return nf1.format(n / 1e3) + " k";
  return n < 10 && n % 1 ? nf1.format(n) : nf0.format(n);
}

// Three significant digits, of what may be tiny: rates of single keys, burn rates.
export function figure(n) {
  if (n == null) return "–";
  if (n === 0) return "0";
  if (n < 0) return "−" + figure(-n);
  if (n < 0.001) return n.toExponential(1).replace(".0e", "e").replace("e-", "e−");
  return n >= 1000 ? count(n) : sig3.format(n);
}

export function bytes(n) {
  if (n == null) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let i = 0;
  while (n >= 1024 && i < units.length - 1) { n /= 1024; i++; }
  return (i === 0 || n >= 100 ? nf0 : nf1).format(n) + " " + units[i];
}

export function micros(us) {
  if (us == null) return ["–", ""];
  if (us < 1000) return [(us < 10 ? nf1 : nf0).format(us), "µs"];
  if (us < 1e6) return [(us < 1e4 ? nf2 : nf1).format(us / 1e3), "ms"];
  return [nf2.format(us / 1e6), "s"];
}
export const microsText = (us) => micros(us).join(" ").trim();

export function span(seconds) {
  const s = Math.floor(seconds);
  if (s < 60) return s + " s";
  if (s < 3600) return Math.floor(s / 60) + " min " + (s % 60) + " s";
  if (s < 86400) return Math.floor(s / 3600) + " h " + Math.floor((s % 3600) / 60) + " min";
  return Math.floor(s / 86400) + " d " + Math.floor((s % 86400) / 3600) + " h";
}

// A length of time in the unit that one would write it in: "250 ms", "1.5 h".
export function duration(seconds) {
  if (seconds == null) return "–";
  if (seconds === 0) return "0 s";
  for (const [unit, size] of [["d", 86400], ["h", 3600], ["min", 60], ["s", 1], ["ms", 1e-3]])
    if (seconds >= size * 0.9995 && (unit !== "min" || seconds > 90)) return sig3.format(seconds / size) + " " + unit;
  return sig3.format(seconds * 1e6) + " µs";
}

// Of reads. Fractions below a millionth are said as that: nothing here is measured so finely.
export function percent(fraction) {
  if (fraction == null) return "–";
  if (fraction > 0 && fraction < 1e-6) return "< 0.0001 %";
  return sig3.format(100 * fraction) + " %";
}

export const clockTime = (ms) => new Date(ms).toLocaleTimeString("en-GB");

export function text(id, value) {
  const node = typeof id === "string" ? el(id) : id;
  if (node.textContent !== value) node.textContent = value;
}

export function make(tag, className, content) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (content != null) node.textContent = content;
  return node;
}

export function fact(label, value, warn) {
  const holder = make("div", warn ? "warn" : "");
  holder.append(make("dt", "", label), make("dd", "", value));
  return holder;
}
