import { createHmac } from 'node:crypto';
import { configMaps, isNotFound, secrets, type ConfigMap, type Secret } from '@naru/api';
import { eventually } from '@naru/testkit';
import t from 'tap';
import { BootstrapSignerController, detachedSignature } from '../src/bootstrap-tokens/bootstrap-signer-controller.ts';
import { planSignatures, tokenOf } from '../src/bootstrap-tokens/plan.ts';
import { TokenCleanerController } from '../src/bootstrap-tokens/token-cleaner-controller.ts';
import { Running } from './running.ts';

function tokenSecret(id: string, fields: Readonly<Record<string, string>> = {}): Secret {
  const all = { 'token-id': id, 'token-secret': '0123456789abcdef', 'usage-bootstrap-signing': 'true', ...fields };
  const encoded = Object.entries(all).map(([name, text]) => [name, Buffer.from(text).toString('base64')]);
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: `bootstrap-token-${id}`, namespace: 'kube-system' },
    type: 'bootstrap.kubernetes.io/token',
    data: Object.fromEntries(encoded) as Record<string, string>,
  };
}

const clusterInfo = (data: Record<string, string>): ConfigMap => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name: 'cluster-info', namespace: 'kube-public' },
  data,
});

void t.test('tokens that are good sign the kubeconfig, others do not', async (t) => {
  const now = Date.UTC(2026, 0, 1);
  const tokens = [
    tokenSecret('aaaaaa'),
    tokenSecret('bbbbbb', { 'usage-bootstrap-signing': 'false' }),
    tokenSecret('cccccc', { expiration: '2025-12-31T00:00:00Z' }),
    tokenSecret('dddddd', { expiration: 'nonsense' }),
  ].flatMap((secret) => tokenOf(secret) ?? []);
  t.equal(tokens.length, 4);
  const sign = (content: string, { id }: { id: string }): string => `${content} by ${id}`;
  const data = { kubeconfig: 'x', other: 'y', 'jws-kubeconfig-eeeeee': 'old' };
  const signed = planSignatures(clusterInfo(data), tokens, now, sign);
  t.same(signed?.data, { kubeconfig: 'x', other: 'y', 'jws-kubeconfig-aaaaaa': 'x by aaaaaa' });
  t.equal(planSignatures(signed ?? clusterInfo({}), tokens, now, sign), undefined, 'nothing to do');
  t.equal(planSignatures(clusterInfo({}), tokens, now, sign), undefined, 'nothing to sign');
  t.equal(tokenOf({ ...tokenSecret('aaaaaa'), type: 'Opaque' }), undefined);
  t.equal(tokenOf(tokenSecret('UPPER!')), undefined);
  const token = { id: 'aaaaaa', secret: '0123456789abcdef', signs: true, expirationMs: Number.NaN };
  t.same(tokens[0], token);
  const [header = '', empty, signature] = detachedSignature('content', token).split('.');
  t.same(JSON.parse(Buffer.from(header, 'base64url').toString()), { alg: 'HS256', kid: 'aaaaaa' });
  t.equal(empty, '');
  const input = `${header}.${Buffer.from('content').toString('base64url')}`;
  t.equal(signature, createHmac('sha256', '0123456789abcdef').update(input).digest('base64url'));
});

void t.test('signatures follow the tokens, and expired tokens are deleted', async (t) => {
  await using running = await Running.start((context) => [
    new BootstrapSignerController(context),
    new TokenCleanerController(context),
  ]);
  const { client, clock } = running;
  await client.create(configMaps, clusterInfo({ kubeconfig: 'x' }));
  await client.create(secrets, tokenSecret('aaaaaa', { expiration: '2026-01-01T01:00:00Z' }));
  await client.create(secrets, tokenSecret('bbbbbb'));
  const become = async (...names: string[]): Promise<void> => {
    await eventually(async () => {
      const { data = {} } = await client.get(configMaps, 'cluster-info', { namespace: 'kube-public' });
      const found = Object.keys(data).toSorted().join();
      if (found !== [...names, 'kubeconfig'].join()) throw new Error(`there is ${found}`);
    });
  };
  await become('jws-kubeconfig-aaaaaa', 'jws-kubeconfig-bbbbbb');
  await clock.advance(3_600_000);
  await eventually(async () => {
    const gone = await client.get(secrets, 'bootstrap-token-aaaaaa', { namespace: 'kube-system' }).catch(isNotFound);
    if (gone !== true) throw new Error('still there');
  });
  await become('jws-kubeconfig-bbbbbb');
  t.ok(await client.get(secrets, 'bootstrap-token-bbbbbb', { namespace: 'kube-system' }));
});
