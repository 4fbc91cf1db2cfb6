// A daemon and a real browser that looks at it, for the tests of the dashboard's pages.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { chromium } from 'playwright-core';

const BUILD = process.env.CANDOR_BUILD ?? join(new URL('.', import.meta.url).pathname, '../../build/release');
const BROWSER_ARGS = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync'];

const freePort = () => new Promise((resolve) => {
  const server = net.createServer().listen(0, '127.0.0.1', () => {
    const { port } = server.address();
    server.close(() => resolve(port));
  });
});

export class Site {
  // `name`: of the node, outside text; `body`: features and origins, with the database shop.db in the same folder; `tables`: its SQL.
  async start(name, body, tables) {
    this.folder = mkdtempSync(join(tmpdir(), 'candor-web-'));
    [this.port, this.httpPort] = [await freePort(), await freePort()];
    this.sql(tables);
    writeFileSync(join(this.folder, 'candor.toml'), `[node]\nname = "${name}"\ndata_dir = "data"\n[resp]\nlisten = "127.0.0.1:${this.port}"\n` +
      `[http]\nlisten = "127.0.0.1:${this.httpPort}"\n[l1]\nmemory = "16MiB"\n` + body);
    this.installFeed();
    process.on('exit', () => this.daemon?.kill());
    await this.startDaemon();
    this.browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: BROWSER_ARGS });
  }

  async stop() {
    this.stopTraffic?.();
    await this.browser?.close();
    if (this.daemon?.exitCode === null) await this.stopDaemon();
    if (this.folder) rmSync(this.folder, { recursive: true, force: true });
  }

  async startDaemon() {
    this.daemon = spawn(join(BUILD, 'candord'), ['--config', join(this.folder, 'candor.toml')], { cwd: this.folder, stdio: ['ignore', 'ignore', 'inherit'] });
    for (let i = 0; i < 200; i++) {
      const ready = await fetch(this.address('readyz')).catch(() => null);
      if (ready?.status === 200) return;
      await sleep(50);
    }
    throw new Error('candord did not become ready');
  }
  stopDaemon() {
    return new Promise((resolve) => { this.daemon.once('exit', resolve); this.daemon.kill('SIGTERM'); });
  }
  installFeed() {
    execFileSync(join(BUILD, 'candor'), ['feed', 'install', join(this.folder, 'candor.toml')], { cwd: this.folder, stdio: 'ignore' });
  }

  address(path) { return `http://127.0.0.1:${this.httpPort}/${path}`; }
  async api(path) { return (await fetch(this.address('api/v1/' + path))).json(); }

  // By another process than the daemon.
  sql(text) {
    execFileSync('sqlite3', ['-cmd', '.timeout 5000', join(this.folder, 'shop.db'), text], { stdio: ['ignore', 'ignore', 'inherit'] });
  }

  // Fifty commands a hundred times a second, `command(i)` each, until the site stops.
  startTraffic(command) {
    const socket = net.connect(this.port, '127.0.0.1');
    socket.on('data', () => {});
    socket.on('error', () => {});
    let i = 0;
    const timer = setInterval(() => {
      let batch = '';
      for (let n = 0; n < 50; n++, i++) batch += command(i) + '\r\n';
      socket.write(batch);
    }, 10);
    this.stopTraffic = () => { clearInterval(timer); socket.destroy(); };
  }

  // A page, and everything that went wrong or went elsewhere while it was open.
  async open(options = {}) {
    const context = await this.browser.newContext({ viewport: { width: options.width ?? 1280, height: 900 }, colorScheme: options.theme ?? 'light' });
    const page = await context.newPage();
    const problems = [];
    page.on('console', (message) => { if (message.type() === 'error') problems.push(message.text()); });
    page.on('pageerror', (error) => problems.push(String(error)));
    page.on('request', (request) => { if (!request.url().startsWith(this.address(''))) problems.push('external: ' + request.url()); });
    await options.prepare?.(page);
    await page.goto(this.address(options.path ?? ''));
    return { page, problems, close: () => context.close() };
  }
}

// Playwright's own waiting evaluates strings in the page, which its policy forbids; so we ask again and again.
export async function until(page, condition, argument, seconds = 20) {
  for (const end = Date.now() + 1000 * seconds; Date.now() < end; await sleep(100)) {
    if (await page.evaluate(condition, argument)) return;
  }
  assert.fail(`not within ${seconds} s: ${condition}`);
}
export const pillSays = (page, word) => until(page, (w) => document.getElementById('link').textContent === w, word);
export const figure = (page, id) => page.locator('#' + id).textContent();

export async function nothingOverflows(page) {
  const [content, view] = await page.evaluate(() => [document.scrollingElement.scrollWidth, innerWidth]);
  assert.ok(content <= view, `${content} > ${view}`);
  const cut = await page.evaluate(() => [...document.querySelectorAll('.figure')].filter((f) => f.scrollWidth > f.clientWidth + 1).map((f) => f.textContent));
  assert.deepEqual(cut, []);
}

// CANDOR_SCREENSHOTS=FOLDER keeps the pictures.
export async function picture(page, name) {
  if (process.env.CANDOR_SCREENSHOTS) await page.screenshot({ path: join(process.env.CANDOR_SCREENSHOTS, name + '.png'), fullPage: true });
}
