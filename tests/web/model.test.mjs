// The page's law against the program's: the same grid that src/budget/exposure_grid_test.cc checks.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { TTL_MAX, TTL_MIN, longestTtlWithin, placeOf, predict, ttlAt, ttlCurve } from '../../web/model.js';

const grid = JSON.parse(readFileSync(new URL('exposure_grid.json', import.meta.url)));
const near = (value, wanted, what) => assert.ok(Math.abs(value - wanted) <= 1e-12 + 1e-8 * Math.abs(wanted), `${what}: ${value}, not ${wanted}`);

test('the page predicts what the program predicts, over a grid', () => {
  assert.ok(grid.length >= 90);
  for (const one of grid) {
    const got = predict(one.workload, one.delivery, one.limit_seconds);
    near(got.stale, one.stale, `stale of ${JSON.stringify(one.delivery)}`);
    near(got.over, one.over_limit, `over ${one.limit_seconds} s of ${JSON.stringify(one.delivery)}`);
    near(got.loads, one.loads_per_second, `loads of ${JSON.stringify(one.delivery)}`);
  }
});

test('the figures of the design: uT of 0.1, 1 and 10 for hot keys', () => {
  for (const [x, wanted] of [[0.1, 0.0484], [1, 0.368], [10, 0.9]]) {
    const hot = { reads_per_second: 1e9, classes: [{ read_share: 1, reads_per_second: 1e9, updates_per_second: x }] };
    assert.equal(predict(hot, { ttl_seconds: 1, is_pushed: false, loss: 0 }, 0).stale.toPrecision(3), wanted.toPrecision(3));
  }
});

test('without classes of keys nothing is predicted', () => {
  assert.equal(predict({ reads_per_second: 5, classes: [] }, grid[0].delivery, 1), null);
  assert.equal(predict({ reads_per_second: 5 }, grid[0].delivery, 1), null);
});

test('a longer ttl is staler and spares the origin, and the longest that keeps a budget is found', () => {
  const { workload } = grid[0];
  const delivery = { ttl_seconds: 60, is_pushed: false, loss: 0 };
  const curve = ttlCurve(workload, delivery, 1);
  for (let i = 1; i < curve.length; i++) assert.ok(curve[i].over >= curve[i - 1].over && curve[i].loads <= curve[i - 1].loads);
  const ttl = longestTtlWithin(workload, delivery, 1, 0.01);
  const over = (seconds) => predict(workload, { ...delivery, ttl_seconds: seconds }, 1).over;
  assert.ok(over(ttl) <= 0.01 && over(ttl * 1.001) > 0.01, `${ttl}: ${over(ttl)}`);
  assert.equal(longestTtlWithin(workload, delivery, 1, 1), TTL_MAX);
  const laggy = { ttl_seconds: 60, is_pushed: false, loss: 0 };
  assert.equal(longestTtlWithin(workload, laggy, 0, 0), null);
});

test('the slider names ttls that one would write', () => {
  assert.equal(ttlAt(0), TTL_MIN);
  assert.equal(ttlAt(1), TTL_MAX);
  for (const ttl of [0.5, 2, 30, 60, 3600]) assert.ok(Math.abs(ttlAt(placeOf(ttl)) / ttl - 1) < 0.05);
});
