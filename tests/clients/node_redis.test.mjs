// node-redis, unchanged, against Candor, in RESP2 and RESP3.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { createClient } from 'redis';
import { startCandor } from './support.mjs';

for (const RESP of [2, 3]) {
  describe(`RESP${RESP}`, () => {
    let candor;
    let client;

    before(async () => {
      candor = await startCandor();
      client = createClient({ socket: { port: candor.port, host: '127.0.0.1', reconnectStrategy: false }, RESP });
      client.on('error', () => {});
      await client.connect();
    });
    after(async () => {
      client?.destroy();
      await candor?.stop();
    });

    test('set, get and delete', async () => {
      assert.equal(await client.set('a', '1'), 'OK');
      assert.equal(await client.get('a'), '1');
      assert.equal(await client.del('a'), 1);
      assert.equal(await client.get('a'), null);
    });

    test('expiry and conditions', async () => {
      assert.equal(await client.set('b', '1', { expiration: { type: 'PX', value: 60000 }, condition: 'NX' }), 'OK');
      assert.equal(await client.set('b', '2', { condition: 'NX' }), null);
      assert.ok((await client.pTTL('b')) > 0);
    });

    test('requests that are sent together are answered in order', async () => {
      const answers = await Promise.all(Array.from({ length: 300 }, (_, i) => client.set(`k${i}`, `${i}`).then(() => client.get(`k${i}`))));
      assert.deepEqual(answers, Array.from({ length: 300 }, (_, i) => `${i}`));
    });

    test('mGet', async () => {
      await client.set('m1', 'x');
      assert.deepEqual(await client.mGet(['m1', 'none']), ['x', null]);
    });

    test('publish and subscribe', async () => {
      const subscriber = client.duplicate();
      subscriber.on('error', () => {});
      await subscriber.connect();
      const message = new Promise((resolve, reject) => { subscriber.subscribe('news', resolve).catch(reject); });
      // The message may arrive before the publisher's own answer: wait for both before anything is torn down.
      let receivers = 0;
      while (receivers === 0) receivers = await client.publish('news', 'hello');
      assert.equal(await message, 'hello');
      subscriber.destroy();
    });
  });
}

test('the cache on the client\'s side hears of changes', async () => {
  const candor = await startCandor();
  const options = { socket: { port: candor.port, host: '127.0.0.1', reconnectStrategy: false }, RESP: 3 };
  const cached = createClient({ ...options, clientSideCache: { ttl: 0, maxEntries: 0, evictPolicy: 'LRU' } });
  const other = createClient(options);
  for (const client of [cached, other]) client.on('error', () => {});
  try {
    await cached.connect();
    await other.connect();
    await other.set('kept', '1');
    assert.equal(await cached.get('kept'), '1');
    assert.equal(await cached.get('kept'), '1');
    const before = Number(/total_commands_processed:(\d+)/.exec(await other.info('stats'))[1]);
    for (let i = 0; i < 10; i++) assert.equal(await cached.get('kept'), '1');
    const asked = Number(/total_commands_processed:(\d+)/.exec(await other.info('stats'))[1]) - before;
    assert.ok(asked < 5, `${asked} commands came for ten reads`);
    await other.set('kept', '2');
    for (let i = 0; (await cached.get('kept')) !== '2'; i++) {
      assert.ok(i < 100, 'the old value stays');
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  } finally {
    cached.destroy();
    other.destroy();
    await candor.stop();
  }
});
