import { generateKeyPairSync } from 'node:crypto';
import { secrets, serviceAccounts, type Secret } from '@naru/api';
import { decodeJwt, verifyJwt } from '@naru/component';
import { eventually } from '@naru/testkit';
import t from 'tap';
import { planTokenSecret } from '../src/serviceaccount/token-plan.ts';
import { TokensController } from '../src/serviceaccount/tokens-controller.ts';
import { Running } from './running.ts';

const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const account = { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'a', namespace: 'default' } };
const tokenSecret = (annotations: Record<string, string>, data = {}): Secret => ({
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { name: 's', namespace: 'default', annotations },
  type: 'kubernetes.io/service-account-token',
  data,
});
const named = { 'kubernetes.io/service-account.name': 'a' };

void t.test('what becomes of a token Secret', (t) => {
  const present = { ...account, metadata: { ...account.metadata, uid: 'u' } };
  t.same(planTokenSecret(tokenSecret(named), undefined, 'CA'), { type: 'delete' });
  const other = { ...named, 'kubernetes.io/service-account.uid': 'former' };
  t.same(planTokenSecret(tokenSecret(other), present, 'CA'), { type: 'delete' }, 'it was of an account that is gone');
  t.match(planTokenSecret(tokenSecret(named), present, 'CA'), {
    type: 'fill',
    secret: {
      metadata: { annotations: { 'kubernetes.io/service-account.uid': 'u' } },
      data: { 'ca.crt': 'Q0E=', namespace: 'ZGVmYXVsdA==' },
    },
    claims: { sub: 'system:serviceaccount:default:a', 'kubernetes.io/serviceaccount/secret.name': 's' },
  });
  const own = { ...named, 'kubernetes.io/service-account.uid': 'u' };
  const full = { token: 'eA==', 'ca.crt': 'Q0E=', namespace: 'ZGVmYXVsdA==' };
  t.same(planTokenSecret(tokenSecret(own, full), present, 'CA'), { type: 'none' });
  t.match(planTokenSecret(tokenSecret(own, full), present, 'new CA'), { type: 'fill', claims: undefined });
  t.end();
});

void t.test('Secrets that ask for a token get it, and every account its own where that is wanted', async (t) => {
  await using running = await Running.start((context) => [new TokensController(context, privateKey)], {
    legacyServiceAccountTokens: true,
  });
  const { client } = running;
  await client.create(serviceAccounts, account);
  const tokenOf = async (name: string): Promise<string> => {
    const secret = await client.get(secrets, name, { namespace: 'default' });
    if (secret.data?.['token'] === undefined) throw new Error('no token yet');
    return Buffer.from(secret.data['token'], 'base64').toString();
  };
  const generated = await eventually(
    async () => {
      const { secrets: references = [] } = await client.get(serviceAccounts, 'a', { namespace: 'default' });
      return await tokenOf(references[0]?.name ?? '');
    },
    { deadlineMs: 60_000 },
  );
  t.ok(verifyJwt(generated, [publicKey]));
  await client.create(secrets, tokenSecret(named));
  const asked = await eventually(async () => await tokenOf('s'), { deadlineMs: 60_000 });
  t.match(decodeJwt(asked)?.claims, {
    iss: 'kubernetes/serviceaccount',
    'kubernetes.io/serviceaccount/service-account.name': 'a',
  });
  await client.delete(serviceAccounts, 'a', { namespace: 'default' });
  const left = await eventually(
    async () => {
      const { items } = await client.list(secrets, { namespace: 'default' });
      if (items.length > 0) throw new Error('token Secrets are still there');
      return items;
    },
    { deadlineMs: 60_000 },
  );
  t.same(left, []);
});
