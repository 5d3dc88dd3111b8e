import { configMaps, newQuantity, pods, resourceQuotas, type Amounts, type ResourceQuota } from '@naru/api';
import { eventually } from '@naru/testkit';
import t from 'tap';
import { countedKinds, lowers, planStatus } from '../src/resourcequota/plan.ts';
import { ResourceQuotaController } from '../src/resourcequota/resource-quota-controller.ts';
import { Running } from './running.ts';

const quota = (hard: Record<string, string>, status?: ResourceQuota['status']): ResourceQuota => ({
  apiVersion: 'v1',
  kind: 'ResourceQuota',
  metadata: { name: 'q', namespace: 'default' },
  spec: { hard },
  ...(status === undefined ? {} : { status }),
});

void t.test('which kinds a quota counts, and what its status should say', (t) => {
  t.same(countedKinds(quota({ 'limits.cpu': '1', 'count/deployments.apps': '2', secrets: '3', 'count/pods': '1' })), [
    { group: '', resource: 'pods' },
    { group: 'apps', resource: 'deployments' },
    { group: '', resource: 'secrets' },
  ]);
  const usage: Amounts = new Map([['pods', newQuantity(1)]]);
  const wanted = { hard: { pods: '2', secrets: '1k' }, used: { pods: '1', secrets: '0' } };
  t.same(planStatus(quota({ pods: '2', secrets: '1k' }), usage), wanted);
  const same = { hard: { pods: '2', secrets: '1000' }, used: { pods: '1', secrets: '0' } };
  t.equal(planStatus(quota({ pods: '2', secrets: '1k' }, same), usage), undefined, 'equal amounts are no change');
  t.equal(lowers(quota({}, { used: { pods: '2' } }), wanted), true);
  t.equal(lowers(quota({}, { used: { pods: '1' } }), wanted), false);
  t.end();
});

void t.test('usage is counted when a quota comes, and given back when objects go', async (t) => {
  await using running = await Running.start((context) => [new ResourceQuotaController(context)]);
  const { client } = running;
  const pod = (name: string) => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'default' },
    spec: { containers: [{ name: 'c', resources: { requests: { cpu: '500m' } } }] },
  });
  await client.create(pods, pod('a'));
  await client.create(pods, pod('b'));
  await client.create(configMaps, {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'm', namespace: 'default' },
  });
  await client.create(resourceQuotas, quota({ pods: '5', 'requests.cpu': '2', 'count/configmaps': '3' }));
  const used = async (pods: string): Promise<unknown> =>
    await eventually(
      async () => {
        const { status } = await client.get(resourceQuotas, 'q', { namespace: 'default' });
        if (status?.used?.['pods'] !== pods) throw new Error(`${JSON.stringify(status)}: not ${pods} pods`);
        return status.used;
      },
      { deadlineMs: 60_000 },
    );
  t.same(await used('2'), { pods: '2', 'requests.cpu': '1', 'count/configmaps': '1' });
  await client.delete(pods, 'a', { namespace: 'default' });
  t.same(await used('1'), { pods: '1', 'requests.cpu': '500m', 'count/configmaps': '1' });
});
