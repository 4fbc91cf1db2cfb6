// The dashboard's live page in a real browser: what it shows, in both themes and at two widths, and what it must not do.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Site, figure, nothingOverflows, picture, pillSays, until } from './site.mjs';

const HOSTILE_NAME = '<img src=x onerror=window.hacked=1>';
const site = new Site();
const open = (options) => site.open(options);
const readsFlow = (page) => until(page, () => parseFloat(document.getElementById('f-reads').textContent) > 0);

before(async () => {
  await site.start(HOSTILE_NAME, '[features.session]\norigin = "none"\n[features.price]\norigin = "none"\n' +
    '[origins.shop]\nurl = "sqlite:shop.db"\n[features.item]\norigin = "shop"\nload = "select body from item where id = :key"\n' +
    'watch = { table = "item", key = "id" }\n', "create table item(id text primary key, body text); insert into item values ('1', 'one')");
  // Sets and gets, some of them of keys that are not there, and a row of the database.
  site.startTraffic((i) => (i % 10 === 5 ? 'GET item:1' : i % 10 ? `GET ${i % 3 ? 'session' : 'price'}:${i % 500}` : `SET session:${i % 500} ${'x'.repeat(100)}`));
});
after(() => site.stop());

test('the page goes live and shows real figures', async () => {
  const { page, problems, close } = await open();
  await pillSays(page, 'Live');
  await readsFlow(page);
  const api = await site.api('status');
  assert.equal(await figure(page, 'version'), api.version);
  assert.match(await figure(page, 'n-memory'), /of 16.0 MiB/);
  assert.equal(await page.locator('#rows tr').count(), 3);
  assert.equal(await page.locator('#view-live .plot canvas').count(), 4);
  assert.deepEqual(problems, []);
  await close();
});

test('names from outside are text, never markup', async () => {
  const { page, close } = await open();
  await pillSays(page, 'Live');
  assert.equal(await figure(page, 'node'), HOSTILE_NAME);
  assert.equal(await page.locator('#node img').count(), 0);
  assert.equal(await page.evaluate(() => window.hacked), undefined);
  await close();
});

test('changes on their way are shown as they are', async () => {
  const { page, problems, close } = await open();
  await pillSays(page, 'Live');
  await until(page, () => !document.getElementById('river').hidden);
  site.sql("update item set body = body || '!'");
  await until(page, () => /Fresh within[\d.]+ (ms|µs)/.test(document.getElementById('feeds').textContent));
  await until(page, () => /p99[\d.]+ (ms|µs)/.test(document.getElementById('feeds').textContent));
  assert.match(await figure(page, 'n-river'), /^memory, 1 node, 0 gaps/);
  assert.match(await figure(page, 'feeds'), /^shop.*this node reads them/);
  assert.equal(await page.locator('#feeds .down').count(), 0);
  // The triggers go, as with a migration: nothing can be proven, and the page says what to do.
  site.sql('drop table item; create table item(id text primary key, body text)');
  await until(page, () => document.querySelector('#feeds .down') && /candor feed install/.test(document.getElementById('feeds').textContent));
  site.installFeed();
  await until(page, () => !document.querySelector('#feeds .down'));
  assert.deepEqual(problems, []);
  await close();
});

test('what less or more memory would do is shown for each feature', async () => {
  const { page, problems, close } = await open();
  await pillSays(page, 'Live');
  await until(page, () => [...document.querySelectorAll('#curve-rows tr')].some((row) => /^item[\d.,]+( k)?(100|9\d)\.\d %/.test(row.textContent)));
  const { curves, memory } = await site.api('capacity');
  assert.equal(await page.locator('#curve-rows tr').count(), curves.features.length + 1);
  // One row fits into half of any L1: more would do nothing.
  const cells = await page.locator('#curve-rows tr').filter({ hasText: 'item' }).locator('td').allTextContents();
  assert.deepEqual(cells.slice(3, 7).map((words) => /^(100|9\d)\.\d %[\d.,]+ loads\/s$/.test(words)), [true, true, true, true], cells.join(' | '));
  assert.match(await figure(page, 'cold'), /of reads no memory would answer/);
  assert.match(await figure(page, 'n-capacity'), memory.source ? /^process .* of .*, L1 gives back from/ : /^L1 16.0 MiB/);
  assert.equal(await page.locator('#capacity-trouble').isVisible(), false);
  assert.deepEqual(problems, []);
  await close();
});

test('a question about capacity that fails leaves the last answer', async () => {
  let away = false, refused = 0;
  const prepare = (p) => p.route('**/api/v1/capacity', (route) => {
    if (!away) return route.continue();
    refused += 1;
    return route.abort();
  });
  const { page, close } = await open({ prepare });
  await until(page, () => document.querySelectorAll('#curve-rows tr').length > 0);
  away = true;
  for (let waited = 0; refused < 2 && waited < 20_000; waited += 100) await sleep(100);
  assert.equal(refused, 2);
  await sleep(1500);  // a point of the page after it
  assert.equal(await page.locator('#capacity').isVisible(), true);
  assert.ok(await page.locator('#curve-rows tr').count() > 0);
  await close();
});

test('what an origin lets through stands beside it', async () => {
  const { page, close } = await open();
  await pillSays(page, 'Live');
  await until(page, () => /shop \(origin\).*\d+ in flight, \d+ let through.*waiting/.test(document.getElementById('behind').textContent));
  await until(page, () => /let through\d/.test(document.getElementById('k-origin').textContent));
  await close();
});

for (const width of [1280, 400]) {
  for (const theme of ['light', 'dark']) {
    test(`nothing overflows at ${width} px, ${theme}`, async () => {
      const { page, problems, close } = await open({ width, theme });
      await pillSays(page, 'Live');
      await sleep(2500);
      await picture(page, `live-${width}-${theme}`);
      await nothingOverflows(page);
      assert.deepEqual(problems, []);
      await close();
    });
  }
}

test('the table is sorted with the keyboard alone', async () => {
  const { page, close } = await open();
  await pillSays(page, 'Live');
  for (let i = 0; i < 30; i++) {
    await page.keyboard.press('Tab');
    if (await page.evaluate(() => document.activeElement.textContent === 'Feature')) break;
  }
  await page.keyboard.press('Enter');
  assert.equal(await page.locator('#heads th').first().getAttribute('aria-sort'), 'ascending');
  assert.match(await page.locator('#rows tr').first().textContent(), /^item/);
  await page.keyboard.press('Enter');
  assert.equal(await page.locator('#heads th').first().getAttribute('aria-sort'), 'descending');
  assert.match(await page.locator('#rows tr').first().textContent(), /^session/);
  await close();
});

test('pausing holds the picture', async () => {
  const { page, close } = await open();
  await pillSays(page, 'Live');
  await page.getByRole('button', { name: 'Pause' }).click();
  const before = await figure(page, 'uptime');
  await sleep(2200);
  assert.equal(await figure(page, 'uptime'), before);
  await page.getByRole('button', { name: 'Resume' }).click();
  assert.notEqual(await figure(page, 'uptime'), before);
  await close();
});

test('without events the page polls', async () => {
  const { page, close } = await open({ prepare: (p) => p.route('**/api/v1/events', (route) => route.abort()) });
  await pillSays(page, 'Polling');
  await readsFlow(page);
  await close();
});

test('a node that goes away is said to be away, and comes back', async () => {
  const { page, close } = await open();
  await pillSays(page, 'Live');
  await site.stopDaemon();
  await pillSays(page, 'No answer');
  await site.startDaemon();
  await until(page, () => ['Live', 'Polling'].includes(document.getElementById('link').textContent));
  await close();
});
