// ioredis, unchanged, against Candor.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import Redis from 'ioredis';
import { startCandor } from './support.mjs';

let candor;
let redis;

before(async () => {
  candor = await startCandor();
  redis = new Redis({ port: candor.port, host: '127.0.0.1', maxRetriesPerRequest: 1 });
});
after(async () => {
  redis?.disconnect();
  await candor?.stop();
});

test('set, get and delete', async () => {
  assert.equal(await redis.set('a', '1'), 'OK');
  assert.equal(await redis.get('a'), '1');
  assert.equal(await redis.del('a'), 1);
  assert.equal(await redis.get('a'), null);
});

test('expiry in milliseconds', async () => {
  await redis.set('b', '1', 'PX', 60000);
  const left = await redis.pttl('b');
  assert.ok(left > 0 && left <= 60000, `${left}`);
});

test('a pipeline answers in order', async () => {
  const pipeline = redis.pipeline();
  for (let i = 0; i < 500; i++) pipeline.set(`p${i}`, `${i}`).get(`p${i}`);
  const answers = await pipeline.exec();
  assert.equal(answers.length, 1000);
  answers.forEach(([error, value], i) => {
    assert.equal(error, null);
    assert.equal(value, i % 2 ? `${(i - 1) / 2}` : 'OK');
  });
});

test('mget and mset', async () => {
  await redis.mset('m1', 'x', 'm2', 'y');
  assert.deepEqual(await redis.mget('m1', 'm2', 'm3'), ['x', 'y', null]);
});

test('bytes survive', async () => {
  const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
  await redis.set('bytes', bytes);
  assert.deepEqual(await redis.getBuffer('bytes'), bytes);
});

test('publish and subscribe', async () => {
  const subscriber = redis.duplicate();
  const message = new Promise((resolve) => subscriber.on('message', (channel, text) => resolve([channel, text])));
  await subscriber.subscribe('news');
  assert.equal(await redis.publish('news', 'hello'), 1);
  assert.deepEqual(await message, ['news', 'hello']);
  subscriber.disconnect();
});

test('an error of ours reaches the caller as an error', async () => {
  await assert.rejects(redis.call('CANDOR.GET'), /wrong number of arguments/);
});

test('a connection that listens hears of what another one read', async () => {
  const listener = new Redis({ port: candor.port, host: '127.0.0.1', maxRetriesPerRequest: 1 });
  const reader = new Redis({ port: candor.port, host: '127.0.0.1', maxRetriesPerRequest: 1 });
  try {
    const id = await listener.client('ID');
    const told = new Promise((resolve) => { listener.on('message', (channel, keys) => resolve([channel, keys])); });
    await listener.subscribe('__redis__:invalidate');
    assert.equal(await reader.client('TRACKING', 'ON', 'REDIRECT', id), 'OK');
    await reader.set('tracked', '1');
    assert.equal(await reader.get('tracked'), '1');
    await redis.set('tracked', '2');
    const [channel, keys] = await told;
    assert.equal(channel, '__redis__:invalidate');
    assert.deepEqual([keys].flat(), ['tracked']);
  } finally {
    listener.disconnect();
    reader.disconnect();
  }
});
