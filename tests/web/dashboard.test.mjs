// The dashboard in a real browser: what it shows, in both themes and at two widths, and what it must not do.
// CANDOR_SCREENSHOTS=FOLDER keeps the pictures.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { chromium } from 'playwright-core';

const BUILD = process.env.CANDOR_BUILD ?? join(new URL('.', import.meta.url).pathname, '../../build/release');
const HOSTILE_NAME = '<img src=x onerror=window.hacked=1>';
const BROWSER_ARGS = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync'];

const freePort = () => new Promise((resolve) => {
  const server = net.createServer().listen(0, '127.0.0.1', () => {
    const { port } = server.address();
    server.close(() => resolve(port));
  });
});

let folder, port, httpPort, daemon, browser, traffic;
process.on('exit', () => daemon?.kill());

async function startDaemon() {
  daemon = spawn(join(BUILD, 'candord'), ['--config', join(folder, 'candor.toml')], { cwd: folder, stdio: ['ignore', 'ignore', 'inherit'] });
  for (let i = 0; i < 200; i++) {
    const ready = await fetch(`http://127.0.0.1:${httpPort}/readyz`).catch(() => null);
    if (ready?.status === 200) return;
    await sleep(50);
  }
  throw new Error('candord did not become ready');
}
const stopDaemon = () => new Promise((resolve) => { daemon.once('exit', resolve); daemon.kill('SIGTERM'); });

// Sets and gets, some of them of keys that are not there; about 5000 commands a second until it is stopped.
function startTraffic() {
  const socket = net.connect(port, '127.0.0.1');
  socket.on('data', () => {});
  socket.on('error', () => {});
  let i = 0;
  const timer = setInterval(() => {
    let batch = '';
    for (let n = 0; n < 50; n++, i++) batch += i % 10 ? `GET ${i % 3 ? 'session' : 'price'}:${i % 500}\r\n` : `SET session:${i % 500} ${'x'.repeat(100)}\r\n`;
    socket.write(batch);
  }, 10);
  return () => { clearInterval(timer); socket.destroy(); };
}

before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'candor-web-'));
  [port, httpPort] = [await freePort(), await freePort()];
  sql("create table item(id text primary key, body text); insert into item values ('1', 'one')");
  writeFileSync(join(folder, 'candor.toml'), `[node]\nname = "${HOSTILE_NAME}"\ndata_dir = "data"\n[resp]\nlisten = "127.0.0.1:${port}"\n` +
    `[http]\nlisten = "127.0.0.1:${httpPort}"\n[l1]\nmemory = "16MiB"\n[features.session]\norigin = "none"\n[features.price]\norigin = "none"\n` +
    '[origins.shop]\nurl = "sqlite:shop.db"\n[features.item]\norigin = "shop"\nload = "select body from item where id = :key"\n' +
    'watch = { table = "item", key = "id" }\n');
  execFileSync(join(BUILD, 'candor'), ['feed', 'install', join(folder, 'candor.toml')], { cwd: folder, stdio: 'ignore' });
  await startDaemon();
  traffic = startTraffic();
  browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: BROWSER_ARGS });
});
after(async () => {
  traffic?.();
  await browser?.close();
  if (daemon?.exitCode === null) await stopDaemon();
  if (folder) rmSync(folder, { recursive: true, force: true });
});

// By another process than the daemon.
function sql(text) {
  execFileSync('sqlite3', ['-cmd', '.timeout 5000', join(folder, 'shop.db'), text], { stdio: ['ignore', 'ignore', 'inherit'] });
}

// A page, and everything that went wrong or went elsewhere while it was open.
async function open(options = {}) {
  const context = await browser.newContext({ viewport: { width: options.width ?? 1280, height: 900 }, colorScheme: options.theme ?? 'light' });
  const page = await context.newPage();
  const problems = [];
  page.on('console', (message) => { if (message.type() === 'error') problems.push(message.text()); });
  page.on('pageerror', (error) => problems.push(String(error)));
  page.on('request', (request) => { if (!request.url().startsWith(`http://127.0.0.1:${httpPort}/`)) problems.push('external: ' + request.url()); });
  await options.prepare?.(page);
  await page.goto(`http://127.0.0.1:${httpPort}/`);
  return { page, problems, close: () => context.close() };
}
// Playwright's own waiting evaluates strings in the page, which its policy forbids; so we ask again and again.
async function until(page, condition, argument) {
  for (const end = Date.now() + 20000; Date.now() < end; await sleep(100)) {
    if (await page.evaluate(condition, argument)) return;
  }
  assert.fail(`not within 20 s: ${condition}`);
}
const pillSays = (page, word) => until(page, (w) => document.getElementById('link').textContent === w, word);
const readsFlow = (page) => until(page, () => parseFloat(document.getElementById('f-reads').textContent) > 0);
const figure = (page, id) => page.locator('#' + id).textContent();

test('the page goes live and shows real figures', async () => {
  const { page, problems, close } = await open();
  await pillSays(page, 'Live');
  await readsFlow(page);
  const api = await (await fetch(`http://127.0.0.1:${httpPort}/api/v1/status`)).json();
  assert.equal(await figure(page, 'version'), api.version);
  assert.match(await figure(page, 'n-memory'), /of 16.0 MiB/);
  assert.equal(await page.locator('#rows tr').count(), 3);
  assert.equal(await page.locator('.plot canvas').count(), 4);
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
  sql("update item set body = body || '!'");
  await until(page, () => /Fresh within[\d.]+ (ms|µs)/.test(document.getElementById('feeds').textContent));
  await until(page, () => /p99[\d.]+ (ms|µs)/.test(document.getElementById('feeds').textContent));
  assert.match(await figure(page, 'n-river'), /^memory, 1 node, 0 gaps/);
  assert.match(await figure(page, 'feeds'), /^shop.*this node reads them/);
  assert.equal(await page.locator('#feeds .down').count(), 0);
  // The triggers go, as with a migration: nothing can be proven, and the page says what to do.
  sql('drop table item; create table item(id text primary key, body text)');
  await until(page, () => document.querySelector('#feeds .down') && /candor feed install/.test(document.getElementById('feeds').textContent));
  execFileSync(join(BUILD, 'candor'), ['feed', 'install', join(folder, 'candor.toml')], { cwd: folder, stdio: 'ignore' });
  await until(page, () => !document.querySelector('#feeds .down'));
  assert.deepEqual(problems, []);
  await close();
});

for (const width of [1280, 400]) {
  for (const theme of ['light', 'dark']) {
    test(`nothing overflows at ${width} px, ${theme}`, async () => {
      const { page, problems, close } = await open({ width, theme });
      await pillSays(page, 'Live');
      await sleep(2500);
      if (process.env.CANDOR_SCREENSHOTS) await page.screenshot({ path: join(process.env.CANDOR_SCREENSHOTS, `dashboard-${width}-${theme}.png`), fullPage: true });
      const [content, view] = await page.evaluate(() => [document.scrollingElement.scrollWidth, innerWidth]);
      assert.ok(content <= view, `${content} > ${view}`);
      const cut = await page.evaluate(() => [...document.querySelectorAll('.figure')].filter((f) => f.scrollWidth > f.clientWidth + 1).map((f) => f.textContent));
      assert.deepEqual(cut, []);
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
  assert.equal(await page.locator('th').first().getAttribute('aria-sort'), 'ascending');
  assert.match(await page.locator('#rows tr').first().textContent(), /^item/);
  await page.keyboard.press('Enter');
  assert.equal(await page.locator('th').first().getAttribute('aria-sort'), 'descending');
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
  await stopDaemon();
  await pillSays(page, 'No answer');
  await startDaemon();
  await until(page, () => ['Live', 'Polling'].includes(document.getElementById('link').textContent));
  await close();
});
