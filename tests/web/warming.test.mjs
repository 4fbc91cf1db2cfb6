// The strip that says how far a warming run is, in a real browser.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Site, nothingOverflows, picture, pillSays, until } from './site.mjs';

// Each row takes the database about a millisecond: a run lasts long enough to be looked at.
const SLOW = "select body from item where id = :key and (with recursive n(i) as (select 1 union all select i + 1 from n where i < 8000) select max(i) from n) > 0";
const site = new Site();

before(() => site.start('eu-1', `[warm]\nhot_set = false\n[origins.shop]\nurl = "sqlite:shop.db"\n[features.item]\norigin = "shop"\nload = "${SLOW}"\nwatch = { table = "item", key = "id" }\n`,
  "create table item(id text primary key, body text); insert into item select value, 'item ' || value from generate_series(1, 2000)"));
after(() => site.stop());

// As a person with the token does, once the page is open.
async function post(path, body) {
  const token = readFileSync(join(site.folder, 'data', 'admin.token'), 'utf8').trim();
  const answer = await fetch(site.address('api/v1/' + path), { method: 'POST', headers: { Authorization: `Bearer ${token}` }, body: JSON.stringify(body) });
  assert.equal(answer.status, 200);
}

test('a run that is under way is shown with what is left, and goes when it has ended', async () => {
  const { page, problems, close } = await site.open();
  await pillSays(page, 'Live');
  assert.equal(await page.locator('#warming').isVisible(), false);
  await post('warm', { feature: 'item', keys: Array.from({ length: 2000 }, (_, i) => String(i + 1)) });
  await until(page, () => {
    const [strip, bar] = [document.getElementById('warming'), document.getElementById('warm-bar')];
    return !strip.hidden && bar.value > 0 && bar.value < 1 &&
      /^[\d.,]+( k)? of 2,000 keys, [\d.,]+( k)?\/s, \d+ s left$/.test(document.getElementById('n-warming').textContent);
  });
  await nothingOverflows(page);
  await picture(page, 'warming');
  await until(page, () => document.getElementById('warming').hidden, null, 60);
  assert.equal((await site.api('warm')).keys.loaded, 2000);
  assert.deepEqual(problems, []);
  await close();
});
