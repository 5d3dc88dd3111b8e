/** Values encrypted in the store. */
import t from 'tap';
import { EtcdClient } from '@naru/etcd-client';
import { parseEncryptionConfig } from '../src/storage/encryption/encryption-config.ts';
import { ApiFixture, startStore } from './api-fixture.ts';

const key = (byte: number): string => Buffer.alloc(32, byte).toString('base64');
const config = (providers: readonly string[], resources = '[secrets]'): string =>
  `kind: EncryptionConfiguration\napiVersion: apiserver.config.k8s.io/v1\nresources:\n- resources: ${resources}\n  providers:\n${providers.map((each) => `  - ${each}\n`).join('')}`;
const provider = (name: string, keyName: string, byte: number): string =>
  `${name}: {keys: [{name: ${keyName}, secret: ${key(byte)}}]}`;
const at = '/registry/secrets/default/s';

void t.test('every provider opens what it sealed, and nothing that was changed', (t) => {
  const value = Buffer.from('{"data":"x"}');
  for (const name of ['aescbc', 'aesgcm', 'secretbox']) {
    const encryption = parseEncryptionConfig(config([provider(name, 'key1', 1), 'identity: {}']), '/registry');
    const sealed = encryption.seal(at, value);
    t.equal(sealed.subarray(0, 8 + name.length + 9).toString(), `k8s:enc:${name}:v1:key1:`);
    t.notMatch(sealed.toString('latin1'), 'data');
    t.same(encryption.open(at, sealed), value);
    t.same(encryption.open(at, value), value, 'what was stored before');
    t.equal(encryption.isStale(at, value), true);
    t.equal(encryption.isStale(at, sealed), false);
    const changed = Buffer.from(sealed);
    changed[changed.length - 1] = (changed[changed.length - 1] ?? 0) ^ 1;
    if (name === 'aescbc') t.ok(changed, 'CBC alone does not tell');
    else t.throws(() => encryption.open(at, changed), { code: 500 });
    t.same(encryption.seal('/registry/configmaps/default/c', value), value, 'other resources stay as they are');
  }
  const gcm = parseEncryptionConfig(config([provider('aesgcm', 'key1', 1)]), '/registry');
  t.throws(
    () => gcm.open('/registry/secrets/default/other', gcm.seal(at, value)),
    { code: 500 },
    'it belongs elsewhere',
  );
  t.throws(() => gcm.open(at, value), { message: /no matching prefix found/u });
  const rotated = parseEncryptionConfig(
    config([provider('aescbc', 'key2', 2), provider('aesgcm', 'key1', 1)]),
    '/registry',
  );
  const before = gcm.seal(at, value);
  t.same(rotated.open(at, before), value);
  t.equal(rotated.isStale(at, before), true);
  const wide = parseEncryptionConfig(config([provider('aescbc', 'k', 3)], "['*.example.com', '*.']"), '/registry');
  t.notSame(wide.seal('/registry/example.com/widgets/default/w', value), value);
  t.notSame(wide.seal('/registry/configmaps/default/c', value), value);
  t.same(wide.seal('/registry/deployments/default/d', value), value);
  t.same(wide.seal('/registry/ranges/serviceips', value), value);
  t.end();
});

void t.test('a wrong configuration is told of', (t) => {
  t.throws(() => parseEncryptionConfig('kind: Other', '/registry'), { message: /--encryption-provider-config/u });
  t.throws(() => parseEncryptionConfig(config(['aescbc: {keys: [{name: k, secret: YWJj}]}']), '/registry'), {
    message: /resources\[0\]\.providers\[0\]\.aescbc\.keys\[0\]\.secret: secret is not of the expected length/u,
  });
  t.throws(() => parseEncryptionConfig(config(['kms: {name: x}']), '/registry'), { message: /kms is not supported/u });
  t.end();
});

void t.test(
  'Secrets are encrypted in the store, and after a rotation anew by a write that changes nothing',
  async (t) => {
    await using store = await startStore('etcd');
    await using client = new EtcdClient({ endpoints: [store.clientUrl] });
    const stored = async (): Promise<string> => {
      const { kvs } = await client.range({ key: Buffer.from(at) });
      return kvs[0]?.value.toString('latin1') ?? '';
    };
    const secret = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 's' }, data: { password: 'aHVudGVyMg==' } };
    const path = '/api/v1/namespaces/default/secrets';
    const first = parseEncryptionConfig(config([provider('aescbc', 'key1', 1), 'identity: {}']), '/registry');
    {
      await using api = await ApiFixture.start(store, { encryption: first });
      const created = await api.request('POST', path, { body: secret });
      t.equal(created.status, 201, created.text);
      t.match(await stored(), /^k8s:enc:aescbc:v1:key1:/u);
      const read = await api.request('GET', `${path}/s`);
      t.match(read.body.data, { password: 'aHVudGVyMg==' }, 'seen by the watch');
    }
    const second = parseEncryptionConfig(
      config([provider('aesgcm', 'key2', 2), provider('aescbc', 'key1', 1)]),
      '/registry',
    );
    await using api = await ApiFixture.start(store, { encryption: second });
    const read = await api.request('GET', `${path}/s`);
    t.match(read.body.data, { password: 'aHVudGVyMg==' }, 'read from the store at the start');
    const replaced = await api.request('PUT', `${path}/s`, { body: read.body });
    t.equal(replaced.status, 200, replaced.text);
    t.match(await stored(), /^k8s:enc:aesgcm:v1:key2:/u);
    const deleted = await api.request('DELETE', `${path}/s`);
    t.equal(deleted.status, 200, deleted.text);
  },
);
