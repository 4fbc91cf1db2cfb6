// How stale reads will be, and what they cost the origin: the law of src/budget/exposure.h, where it is derived, once more for the
// page's slider. tests/web/exposure_grid.json holds both to the same numbers.
// Pure: no page, no clock.

const SECONDS_MAX = 1e12;  // longer means "never ends"
const clamp = (x, low, high) => Math.min(high, Math.max(low, x));

// ---- the normal law, for delays of which mean and 99th percentile are known ----

// P(normal > z), to 14 digits of its value.
function normalTail(z) {
  const x = Math.abs(z) / Math.SQRT2;
  let upper;
  if (x < 2) {
    let term = x, sum = x;
    for (let n = 1; n < 200 && term > sum * 1e-17; n++) sum += term *= (2 * x * x) / (2 * n + 1);
    upper = 1 - (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
  } else {
    // The continued fraction of erfc, from its far end.
    let rest = x;
    for (let n = 120; n > 0; n--) rest = x + n / 2 / rest;
    upper = Math.exp(-x * x) / (Math.sqrt(Math.PI) * rest);
  }
  return z >= 0 ? upper / 2 : 1 - upper / 2;
}

function normalQuantile(tail) {
  let [low, high] = [-10, 10];
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2;
    if (normalTail(middle) > tail) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

const CUT_TAILS = [0.8, 0.6, 0.4, 0.25, 0.15, 0.1, 0.06, 0.035, 0.02, 0.01, 0.005, 0.0025, 0.001, 5e-4, 2e-4, 1e-4, 3e-5, 1e-5, 1e-6];
const CUT_QUANTILES = CUT_TAILS.map(normalQuantile);
const Z99 = 2.3263478740408408;

function spreadOf(mean, p99) {
  const ratio = Math.min(Math.log(p99 / mean), (Z99 * Z99) / 2);
  return Z99 - Math.sqrt(Z99 * Z99 - 2 * ratio);
}

// ---- how changes arrive: [{share, delay, missingAfter}] by delay ----

export function arrivalsOf(delivery) {
  const points = [];
  const add = (share, delay) => { if (share > 0) points.push({ share, delay: clamp(delay, 0, SECONDS_MAX), missingAfter: 0 }); };
  const own = clamp(delivery.own_share ?? 0, 0, 1);
  const loss = clamp(delivery.loss, 0, 1);
  add(own, 0);
  if (delivery.is_pushed) {
    const [share, mean, p99] = [(1 - own) * (1 - loss), delivery.delay_seconds, delivery.delay_p99_seconds ?? 0];
    if (mean <= 0 || p99 <= mean) add(share, mean);
    else {
      const spread = spreadOf(mean, p99);
      let [tail, tailMean] = [1, 1];
      for (let i = 0; i <= CUT_TAILS.length; i++) {
        const nextTail = CUT_TAILS[i] ?? 0;
        const nextMean = i < CUT_TAILS.length ? normalTail(CUT_QUANTILES[i] - spread) : 0;
        add(share * (tail - nextTail), (mean * (tailMean - nextMean)) / (tail - nextTail));
        [tail, tailMean] = [nextTail, nextMean];
      }
    }
  }
  points.sort((a, b) => a.delay - b.delay);
  let missing = (1 - own) * (delivery.is_pushed ? loss : 1);
  for (let i = points.length - 1; i >= 0; i--) {
    points[i].missingAfter = missing;
    missing = Math.min(1, missing + points[i].share);
  }
  return points;
}

// ---- one entry's life ----

const meanSurvival = (x) => (x === 0 ? 1 : -Math.expm1(-x) / x);

// 1 - meanSurvival(x), without cancellation.
function meanLoss(x) {
  if (x >= 0.1) return 1 - meanSurvival(x);
  let term = x / 2, sum = 0;
  for (let n = 3; n <= 12; n++) {
    sum += term;
    term *= -x / n;
  }
  return sum;
}

function hiddenSeconds(u, rate, length, alive, hidden) {
  const within = length * (meanLoss(u * length) - meanLoss(rate * length));
  return alive * (Math.max(0, within) - Math.expm1(-hidden) * length * meanSurvival(u * length));
}

// Means over a life that ends at its ttl or by the first change that arrives: [seconds, of them stale, of them staler than the limit].
function lifeOf(u, ttl, arrivals, limit) {
  let [seconds, stale, over] = [0, 0, 0];
  let [at, arrived, hidden, hiddenOver, missing, next] = [0, 0, 0, 0, 1, 0];
  while (at < ttl) {
    while (next < arrivals.length && arrivals[next].delay <= at) missing = arrivals[next++].missingAfter;
    let end = next < arrivals.length ? Math.min(ttl, arrivals[next].delay) : ttl;
    if (at < limit) end = Math.min(end, limit);
    const length = end - at, rate = u * (1 - missing), alive = Math.exp(-arrived);
    seconds += alive * length * meanSurvival(rate * length);
    stale += hiddenSeconds(u, rate, length, alive, hidden);
    hidden += u * missing * length;
    if (at >= limit) {
      over += hiddenSeconds(u, rate, length, alive, hiddenOver);
      hiddenOver += u * missing * length;
    }
    arrived += rate * length;
    at = end;
  }
  return [seconds, stale, over];
}

// Gauss and Legendre on [0, 1].
const QUADRATURE = [[0.046910077030668004, 0.118463442528094544], [0.230765344947158454, 0.239314335249683234], [0.5, 0.284444444444444444],
  [0.769234655052841546, 0.239314335249683234], [0.953089922969331996, 0.118463442528094544]];

function lifeMeans(u, ttl, jitter, arrivals, limit) {
  const longest = clamp(ttl, 0, SECONDS_MAX), shortest = longest * (1 - clamp(jitter, 0, 1)), most = clamp(limit, 0, SECONDS_MAX);
  if (shortest >= longest) return lifeOf(u, longest, arrivals, most);
  const sum = [0, 0, 0];
  const kink = clamp(most, shortest, longest);
  for (const [low, high] of [[shortest, kink], [kink, longest]]) {
    if (high <= low) continue;
    for (const [at, weight] of QUADRATURE) {
      const one = lifeOf(u, low + (high - low) * at, arrivals, most);
      for (let i = 0; i < 3; i++) sum[i] += (one[i] * weight * (high - low)) / (longest - shortest);
    }
  }
  return sum;
}

// ---- what readers see ----

// {stale, over, loads}: fraction of reads stale at all, staler than the limit, and the origin's loads a second for readers. `workload` and
// `delivery` as /api/v1/budgets/{f} gives them; null while the classes of keys are not known.
export function predict(workload, delivery, limitSeconds) {
  if (!workload.classes?.length) return null;
  const arrivals = arrivalsOf(delivery);
  let [stale, over, miss] = [0, 0, 0];
  for (const one of workload.classes) {
    const r = one.reads_per_second;
    if (!(r > 0)) continue;
    const [seconds, staleSeconds, overSeconds] = lifeMeans(Math.max(0, one.updates_per_second), delivery.ttl_seconds, delivery.ttl_jitter ?? 0, arrivals, limitSeconds);
    const reads = 1 + r * seconds;
    stale += (one.read_share * r * staleSeconds) / reads;
    over += (one.read_share * r * overSeconds) / reads;
    miss += one.read_share / reads;
  }
  return { stale: Math.min(1, stale), over: Math.min(1, over), loads: workload.reads_per_second * Math.min(1, miss) };
}

// ---- what if the ttl were another one ----

export const TTL_MIN = 0.1;
export const TTL_MAX = 86400;
// A slider's place in [0, 1] and its ttl: even steps of its logarithm, rounded to what one would write into a configuration.
export const ttlAt = (place) => rounded(TTL_MIN * (TTL_MAX / TTL_MIN) ** clamp(place, 0, 1));
export const placeOf = (ttl) => clamp(Math.log(ttl / TTL_MIN) / Math.log(TTL_MAX / TTL_MIN), 0, 1);
function rounded(seconds) {
  if (seconds > TTL_MAX * 0.999) return TTL_MAX;
  const step = 10 ** (Math.floor(Math.log10(seconds)) - 1);
  return Math.min(TTL_MAX, Number((Math.round(seconds / step) * step).toPrecision(3)));
}

// [{ttl, stale, over, loads}] over the slider's whole way.
export function ttlCurve(workload, delivery, limitSeconds, steps = 40) {
  const points = [];
  for (let i = 0; i <= steps; i++) {
    const ttl = TTL_MIN * (TTL_MAX / TTL_MIN) ** (i / steps);
    points.push({ ttl, ...predict(workload, { ...delivery, ttl_seconds: ttl }, limitSeconds) });
  }
  return points;
}

// The longest ttl of the slider that keeps the share of reads over the limit within what is allowed; null: none does. A longer ttl never
// makes fewer reads stale, so that halving finds it.
export function longestTtlWithin(workload, delivery, limitSeconds, allowed) {
  const keeps = (ttl) => predict(workload, { ...delivery, ttl_seconds: ttl }, limitSeconds).over <= allowed;
  if (!keeps(TTL_MIN)) return null;
  if (keeps(TTL_MAX)) return TTL_MAX;
  let [low, high] = [0, 1];
  for (let i = 0; i < 24; i++) {
    const middle = (low + high) / 2;
    if (keeps(TTL_MIN * (TTL_MAX / TTL_MIN) ** middle)) low = middle;
    else high = middle;
  }
  return TTL_MIN * (TTL_MAX / TTL_MIN) ** low;
}
