import t from 'tap';
import type { SubjectAccessReview } from '@naru/api';
import type { Client } from '@naru/client';
import { VirtualClock } from '@naru/testkit';
import { KubeletAuthorizer } from '../src/server/kubelet-authorizer.ts';

type Spec = SubjectAccessReview['spec'];

/** An API server that allows what `allowed` says, and counts the questions. */
function answering(allowed: (spec: Spec) => boolean): { readonly client: Client; readonly asked: Spec[] } {
  const asked: Spec[] = [];
  const client = {
    create: (_resource: unknown, review: SubjectAccessReview) => {
      asked.push(review.spec);
      return Promise.resolve({ ...review, status: { allowed: allowed(review.spec) } });
    },
  };
  return { client: client as unknown as Client, asked };
}

const apiserver = { name: 'kube-apiserver-kubelet-client', groups: ['system:masters'] };
const proxy = { name: 'system:kube-proxy', groups: [] };

await t.test('a path is a subresource of the node, a method its verb', async (t) => {
  const { client, asked } = answering(() => true);
  const authorizer = new KubeletAuthorizer({ client, nodeName: 'node-1', clock: new VirtualClock() });
  const cases: readonly (readonly [method: string, path: string, verb: string, subresource: string])[] = [
    ['GET', '/containerLogs/default/web/web', 'get', 'proxy'],
    ['POST', '/exec/default/web/web', 'create', 'proxy'],
    ['GET', '/metrics', 'get', 'metrics'],
    ['GET', '/metrics/cadvisor', 'get', 'metrics'],
    ['GET', '/metricsfoo', 'get', 'proxy'],
    ['HEAD', '/stats/summary', 'get', 'stats'],
    ['PUT', '/spec/', 'update', 'spec'],
    ['DELETE', '/logs/', 'delete', 'log'],
  ];
  for (const [method, path, verb, subresource] of cases) {
    // Each with a name of its own, so that no answer is remembered.
    t.ok(await authorizer.allows({ name: `${method} ${path}`, groups: ['g'] }, method, path));
    const attributes = { verb, version: 'v1', resource: 'nodes', subresource, name: 'node-1' };
    t.same(asked.at(-1), { user: `${method} ${path}`, groups: ['g'], resourceAttributes: attributes });
  }
});

await t.test('an answer holds for a while: a yes for five minutes, a no for half of one', async (t) => {
  const clock = new VirtualClock();
  let allowed = (name: string): boolean => name === apiserver.name;
  const { client, asked } = answering((spec) => allowed(spec.user ?? ''));
  const authorizer = new KubeletAuthorizer({ client, nodeName: 'node-1', clock });
  const ask = async (): Promise<boolean[]> => [
    await authorizer.allows(apiserver, 'GET', '/pods'),
    await authorizer.allows(proxy, 'GET', '/pods'),
  ];
  t.same(await ask(), [true, false]);
  t.same(await ask(), [true, false]);
  t.equal(asked.length, 2, 'the second time from memory');
  allowed = () => true;
  await clock.advance(31_000);
  t.same(await ask(), [true, true], 'the no was asked again');
  t.equal(asked.length, 3);
  allowed = () => false;
  await clock.advance(5 * 60_000);
  t.same(await ask(), [false, false]);
});

await t.test('who cannot be asked about is refused', async (t) => {
  const client = { create: () => Promise.reject(new Error('unreachable')) } as unknown as Client;
  const authorizer = new KubeletAuthorizer({ client, nodeName: 'node-1', clock: new VirtualClock() });
  await t.rejects(authorizer.allows(apiserver, 'GET', '/pods'), /unreachable/u);
});
