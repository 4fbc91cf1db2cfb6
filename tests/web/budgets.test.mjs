// The budgets' page in a real browser, on a node with a budget that is kept, one that is missed, and one that nobody reads.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Site, figure, nothingOverflows, picture, pillSays, until } from './site.mjs';

const HOSTILE = '<img src=x onerror=window.hacked=1>';
const LOAD = 'origin = "shop"\nload = "select body from item where id = :key"\n';
const CONFIG = `[origins.shop]\nurl = "sqlite:shop.db"
[features.kept]\n${LOAD}watch = { table = "item", key = "id" }
[features.kept.budget]\nmax_staleness = "5s"\nstale_fraction = 0.2\nowner = "growth"\nimpact = "an old nickname on a page"
[features.old]\n${LOAD}ttl = "5s"
[features.old.budget]\nmax_staleness = "200ms"\nstale_fraction = 0.001\nsample = 1.0\nowner = "${HOSTILE}"\nimpact = "${HOSTILE}"
[features.unread]\n${LOAD}
[features.unread.budget]\nmax_staleness = "1s"\nstale_fraction = 0.001\n`;

const site = new Site();
let changes;

before(async () => {
  await site.start('wall', CONFIG, "create table item(id text primary key, body text); insert into item select value, 'item ' || value from generate_series(0, 99)");
  site.startTraffic((i) => `GET ${i % 2 ? 'kept' : 'old'}:${i % 100}`);
  let n = 0;
  changes = setInterval(() => site.sql(`update item set body = 'changed ${n++}' where id % 4 = ${n % 4}`), 700);
  const verdicts = async () => Object.fromEntries((await site.api('budgets')).features.map((f) => [f.feature, f.predicted ? f.verdict : 'not predicted']));
  for (const end = Date.now() + 90000; ; await sleep(500)) {
    const now = await verdicts();
    if (now.old === 'outside' && now.kept === 'inside') break;
    assert.ok(Date.now() < end, `not judged within 90 s: ${JSON.stringify(now)}`);
  }
});
after(async () => {
  clearInterval(changes);
  await site.stop();
});

const row = (page, feature) => page.locator('#budget-rows tr', { has: page.locator(`button:text-is("${feature}")`) });
const rowsThere = async (page) => {
  await pillSays(page, 'Live');
  await until(page, () => document.querySelectorAll('#budget-rows tr').length === 3);
};
async function openFeature(page, feature) {
  await rowsThere(page);
  await row(page, feature).locator('button').click();
  await until(page, (f) => document.getElementById('d-name').textContent.startsWith(f), feature);
}

test('with budgets the page begins with them, the missed one first', async () => {
  const { page, problems, close } = await site.open();
  await rowsThere(page);
  assert.equal(await page.locator('#view-live').isVisible(), false);
  assert.equal(await page.locator('#to-budgets').getAttribute('aria-current'), 'page');
  const names = await page.locator('#budget-rows .open').allTextContents();
  assert.equal(names[0], 'old');
  assert.equal(names.at(-1), 'kept');
  assert.equal(await figure(page, 'f-missed'), '1');
  assert.equal(await figure(page, 'n-missed'), 'old');
  assert.equal(await figure(page, 'n-budgets'), '1 missed of 3');
  assert.deepEqual(problems, []);
  await close();
});

test('a row says what the API says', async () => {
  const { page, close } = await site.open();
  await rowsThere(page);
  const old = await row(page, 'old').textContent();
  assert.match(old, /0\.1 % over 200 ms/);
  assert.match(old, /in 30 d/);
  assert.match(old, /streamnot measured/);
  assert.match(old, /origin\s*[\d.]+ %[\d.]+ % to [\d.]+ %, n [\d,.]+/);
  assert.match(old, /Missed/);
  const kept = await row(page, 'kept').textContent();
  assert.match(kept, /Kept$/);
  const unread = await row(page, 'unread').textContent();
  assert.match(unread, /streamnot measured/);
  assert.match(unread, /originnot measured/);
  assert.match(unread, /Not measured$/);
  assert.doesNotMatch(unread, /0 %.*n 0/);
  await close();
});

test('owner and reason from the configuration are text, never markup', async () => {
  const { page, problems, close } = await site.open();
  await openFeature(page, 'old');
  assert.ok((await row(page, 'old').textContent()).includes(HOSTILE));
  assert.ok((await figure(page, 'd-promise')).includes(HOSTILE));
  assert.equal(await page.locator('#view-budgets img').count(), 0);
  assert.equal(await page.evaluate(() => window.hacked), undefined);
  assert.deepEqual(problems, []);
  await close();
});

test('a budget opened says over time, how stale, why, how fast, and by which tier', async () => {
  const { page, problems, close } = await site.open();
  await openFeature(page, 'old');
  await until(page, () => document.querySelectorAll('#detail .plot canvas').length === 4);
  assert.equal(await figure(page, 'd-name'), 'old, local');
  assert.match(await figure(page, 'n-stale'), /origin: [\d,.]+( k)? of [\d,.]+( k)? reads were stale at all/);
  const shares = await page.locator('#causes li').allTextContents();
  assert.equal(shares.length, 6);
  assert.match(shares.find((s) => s.startsWith('ttl-only')), /[1-9][\d.]* %$|0\.\d*[1-9]\d* %$/);
  assert.match(shares.find((s) => s.startsWith('lost')), /0 %$/);
  assert.match(await figure(page, 'lag'), /Nobody listens/);
  assert.match(await figure(page, 'burns'), /^5 min[\d.]+/);
  assert.match(await figure(page, 'parts'), /originl1, session/);
  const over = await page.locator('#c-over').getAttribute('aria-label');
  assert.match(over, /stream –, origin [\d.]+ %, predicted [\d.]+ %, allowed 0\.1 %/);
  // Points from before the page was opened.
  assert.ok((await site.api('budget-history/old')).points.length > 2);
  await page.locator('#d-close').click();
  await openFeature(page, 'kept');
  await until(page, () => document.querySelectorAll('#lag tr').length === 4);
  assert.match(await figure(page, 'lag'), /dropped from this node's L1[\d.]+ (ms|µs)/);
  assert.deepEqual(problems, []);
  await close();
});

test('the levers that were pulled are told, with their reasons', async () => {
  const log = [{ at_ms: 1764270000000, feature: 'old', lever: 'ttl', action: 'pull', from: '5s', to: '1s', reason: `burns ${HOSTILE}`, numbers: { stale_fraction: 0.25 }, mode: 'auto' },
    { at_ms: 1764270001000, feature: 'kept', lever: 'ttl', action: 'pull', reason: 'another feature', numbers: {}, mode: 'advise' }];
  const prepare = (page) => page.route('**/api/v1/levers', (route) => route.fulfill({ json: { levers: log } }));
  const { page, close } = await site.open({ prepare });
  await openFeature(page, 'old');
  await until(page, () => document.querySelector('#levers time'));
  const words = await figure(page, 'levers');
  assert.match(words, /ttl: pull, 5s → 1s/);
  assert.ok(words.includes(HOSTILE) && words.includes('stale_fraction 0.25') && words.includes('auto'));
  assert.doesNotMatch(words, /another feature/);
  assert.equal(await page.locator('#levers img').count(), 0);
  await page.locator('#d-close').click();
  await openFeature(page, 'unread');
  await until(page, () => document.getElementById('levers').textContent === 'No levers pulled.');
  await close();
});

test('the slider moves along the curve: a longer ttl is staler and spares the origin', async () => {
  const { page, problems, close } = await site.open();
  await openFeature(page, 'old');
  await until(page, () => !document.getElementById('ttl').disabled);
  const says = async () => {
    const [stale, over, loads, verdict] = await page.locator('#w-facts dd').allTextContents();
    return { ttl: await figure(page, 'ttl-now'), stale: parseFloat(stale), over: parseFloat(over), loads: parseFloat(loads.replace(',', '')), verdict };
  };
  const now = await says();
  assert.equal(now.ttl, '5 s');
  assert.equal(now.verdict, 'missed');
  await page.locator('#ttl').focus();
  for (let i = 0; i < 60; i++) await page.keyboard.press('ArrowRight');
  const longer = await says();
  assert.ok(longer.over > now.over && longer.stale > now.stale && longer.loads < now.loads, JSON.stringify([now, longer]));
  assert.match(await page.locator('#c-whatif').getAttribute('aria-label'), new RegExp(`over the limit ${String(longer.over).replace('.', '\\.')} %`));
  await page.keyboard.press('Home');
  const shortest = await says();
  assert.equal(shortest.ttl, '100 ms');
  assert.equal(shortest.verdict, 'kept');
  assert.ok(shortest.loads > now.loads);
  assert.match(await figure(page, 'w-note'), /The longest ttl that keeps the budget: \d+ ms/);
  // What the program predicts for the ttl as it is.
  const { predicted } = await site.api('budgets/old');
  assert.ok(Math.abs(now.over / 100 / predicted.over_limit - 1) < 0.2, `${now.over} against ${predicted.over_limit}`);
  assert.deepEqual(problems, []);
  await close();
});

test('the keyboard alone: arrows move, Enter opens, Escape closes and comes back', async () => {
  const { page, close } = await site.open();
  await rowsThere(page);
  const focused = () => page.evaluate(() => document.activeElement.textContent);
  for (let i = 0; i < 30 && (await focused()) !== 'old'; i++) await page.keyboard.press('Tab');
  assert.equal(await focused(), 'old');
  await page.keyboard.press('ArrowDown');
  const second = await focused();
  assert.notEqual(second, 'old');
  await page.keyboard.press('End');
  await page.keyboard.press('ArrowDown');
  assert.equal(await focused(), 'kept');
  await page.keyboard.press('Home');
  assert.equal(await focused(), 'old');
  await page.keyboard.press('Enter');
  await until(page, () => !document.getElementById('detail').hidden);
  assert.equal(await page.evaluate(() => document.activeElement.id), 'd-name');
  assert.equal(await row(page, 'old').locator('button').getAttribute('aria-expanded'), 'true');
  // Figures go on changing below the focus, which stays.
  await sleep(6000);
  assert.equal(await page.evaluate(() => document.activeElement.id), 'd-name');
  await page.keyboard.press('Escape');
  await until(page, () => document.getElementById('detail').hidden);
  assert.equal(await focused(), 'old');
  await sleep(6000);
  assert.equal(await focused(), 'old');
  await close();
});

test('an address opens its view and its feature', async () => {
  const { page, close } = await site.open({ path: '#budgets/kept' });
  await rowsThere(page);
  await until(page, () => document.getElementById('d-name').textContent === 'kept, local');
  await page.locator('#to-live').click();
  await until(page, () => !document.getElementById('view-live').hidden && document.querySelectorAll('#view-live .plot canvas').length === 4);
  assert.equal(await page.locator('#view-budgets').isVisible(), false);
  await page.goBack();
  await until(page, () => document.getElementById('d-name').textContent === 'kept, local' && !document.getElementById('detail').hidden);
  await page.evaluate(() => { location.hash = '#budgets/%3Cb%3Enobody'; });
  await until(page, () => document.getElementById('d-promise').textContent === 'No such budget on this node.');
  assert.equal(await figure(page, 'd-name'), '<b>nobody');
  await page.evaluate(() => { location.hash = '#budgets/%'; });
  await until(page, () => document.getElementById('detail').hidden);
  await close();
});

test('without events the budgets are polled', async () => {
  const { page, close } = await site.open({ prepare: (p) => p.route('**/api/v1/events', (route) => route.abort()) });
  await pillSays(page, 'Polling');
  await until(page, () => document.querySelectorAll('#budget-rows tr').length === 3);
  await close();
});

for (const width of [1280, 400]) {
  for (const theme of ['light', 'dark']) {
    test(`nothing overflows at ${width} px, ${theme}, closed and opened`, async () => {
      const { page, problems, close } = await site.open({ width, theme });
      await rowsThere(page);
      await sleep(1000);
      await picture(page, `budgets-${width}-${theme}`);
      await nothingOverflows(page);
      await openFeature(page, 'old');
      await until(page, () => !document.getElementById('ttl').disabled);
      await sleep(1000);
      await picture(page, `budget-${width}-${theme}`);
      await nothingOverflows(page);
      assert.deepEqual(problems, []);
      await close();
    });
  }
}
