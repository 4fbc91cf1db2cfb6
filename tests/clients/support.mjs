// Starts a candord of its own for the client tests: free ports, a temporary folder, stopped by process id.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const build = process.env.CANDOR_BUILD ?? path.join(root, 'build/release');

function freePort() {
  return new Promise((resolve, reject) => {
    const server = net.createServer();
    server.on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

function answers(port) {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1', () => socket.write('PING\r\n'));
    socket.on('data', () => { socket.destroy(); resolve(true); });
    socket.on('error', () => resolve(false));
  });
}

export async function startCandor(features) {
  const folder = mkdtempSync(path.join(tmpdir(), 'candor-clients-'));
  const [port, httpPort] = [await freePort(), await freePort()];
  const config = path.join(folder, 'candor.toml');
  writeFileSync(config, `[node]\nname = "clients"\ndata_dir = "data"\n[resp]\nlisten = "127.0.0.1:${port}"\nplain_feature = "cache"\n` +
    `[http]\nlisten = "127.0.0.1:${httpPort}"\n[l1]\nmemory = "32MiB"\n[features.cache]\norigin = "none"\n${features ?? ''}`);
  let log = '';
  const child = spawn(path.join(build, 'candord'), ['--config', config], { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
  child.stdout.on('data', (text) => { log += text; });
  child.stderr.on('data', (text) => { log += text; });
  const ended = new Promise((resolve) => { child.on('exit', resolve); });
  for (let i = 0; !(await answers(port)); i++) {
    if (i > 400 || child.exitCode !== null) throw new Error(`candord did not start:\n${log}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return {
    port,
    httpPort,
    async stop() {
      child.kill('SIGTERM');
      await ended;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
