import t from 'tap';
import { LeaseStore } from '../../src/lease/lease-store.ts';
import { MvccStore } from '../../src/mvcc/store.ts';
import { hashKeySpace } from '../../src/server/key-space-hash.ts';

const KEYS = 5000;

function put(store: MvccStore, key: string, value: string): void {
  store.put({
    type: 'put',
    key,
    value: Buffer.from(value),
    lease: 0n,
    prevKv: false,
    ignoreValue: false,
    ignoreLease: false,
  });
  store.commit();
}

function filled(): MvccStore {
  const store = new MvccStore(new LeaseStore());
  for (let i = 0; i < KEYS; i++) put(store, `key/${i}`, `value ${i}`);
  return store;
}

await t.test('the hash at a revision is the same, whatever has come after it', async (t) => {
  const behind = filled();
  const ahead = filled();
  // Among the others, and so many that they end a piece.
  for (let i = 0; i < KEYS; i++) put(ahead, `key/${i}/later`, 'x');
  const expected = await hashKeySpace(behind, 0);
  t.strictSame(await hashKeySpace(ahead, expected.revision), expected);

  put(behind, 'key/1', 'changed');
  t.not((await hashKeySpace(behind, 0)).hash, expected.hash);
});

await t.test('and while more comes', async (t) => {
  const store = filled();
  const expected = await hashKeySpace(store, 0);
  const hashing = hashKeySpace(store, 0);
  for (let i = 0; i < KEYS; i++) put(store, `key/${i}/later`, 'x');
  t.strictSame(await hashing, expected);
});
