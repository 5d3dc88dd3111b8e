import t from 'tap';
import {
  persistentVolumeClaims,
  persistentVolumes,
  pods,
  type ObjectMeta,
  type PersistentVolume,
  type PersistentVolumeClaim,
  type Pod,
  type Volume,
} from '@naru/api';
import { eventually } from '@naru/testkit';
import { planFinalizer, podUsesClaim, PV_FINALIZER, PVC_FINALIZER } from '../src/storage-protection/plan.ts';
import { PvProtectionController } from '../src/storage-protection/pv-protection-controller.ts';
import { PvcProtectionController } from '../src/storage-protection/pvc-protection-controller.ts';
import { Running } from './running.ts';

const deletionTimestamp = '2026-01-01T00:00:00Z';
const namespace = 'ns';

function claim(name: string, metadata: ObjectMeta = {}): PersistentVolumeClaim {
  return { apiVersion: 'v1', kind: 'PersistentVolumeClaim', metadata: { name, namespace, ...metadata }, spec: {} };
}

function pod(
  name: string,
  volume: Omit<Volume, 'name'>,
  { nodeName = 'n', ...metadata }: object & { nodeName?: string } = {},
): Pod {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace, uid: name, ...metadata },
    spec: { nodeName, containers: [], volumes: [{ name: 'data', ...volume }] },
  };
}

const of = (claimName: string): Omit<Volume, 'name'> => ({ persistentVolumeClaim: { claimName } });

await t.test('what is to be done about the finalizer', (t) => {
  const plan = (metadata: ObjectMeta): unknown => planFinalizer(claim('c', metadata), PVC_FINALIZER);
  t.equal(plan({}), 'add');
  t.equal(plan({ finalizers: ['x', PVC_FINALIZER] }), undefined);
  t.equal(plan({ deletionTimestamp, finalizers: ['x', PVC_FINALIZER] }), 'remove-if-unused');
  t.equal(plan({ deletionTimestamp, finalizers: ['x'] }), undefined);
  t.end();
});

await t.test('which pods use a claim', (t) => {
  t.equal(podUsesClaim(pod('p', of('c')), claim('c')), true);
  t.equal(podUsesClaim(pod('p', of('other')), claim('c')), false);
  t.equal(podUsesClaim(pod('p', of('c'), { nodeName: '' }), claim('c')), false, 'it is on no node');
  t.equal(podUsesClaim({ ...pod('p', of('c')), status: { phase: 'Succeeded' } }, claim('c')), true, 'it still exists');
  const ephemeral = { ephemeral: {} };
  const owner = (uid: string): ObjectMeta => ({
    ownerReferences: [{ apiVersion: 'v1', kind: 'Pod', name: 'p', uid, controller: true }],
  });
  t.equal(podUsesClaim(pod('p', ephemeral), claim('p-data', owner('p'))), true);
  t.equal(podUsesClaim(pod('p', ephemeral), claim('p-data')), false, 'not made for it');
  t.equal(podUsesClaim(pod('p', ephemeral), claim('p-data', owner('q'))), false, 'made for another');
  const gone = { deletionTimestamp, deletionGracePeriodSeconds: 0 };
  t.equal(podUsesClaim(pod('p', ephemeral, gone), claim('p-data', owner('p'))), false, 'or else both wait');
  t.equal(podUsesClaim(pod('p', of('c'), gone), claim('c')), true);
  t.end();
});

await t.test('claims that pods use stay', async (t) => {
  await using running = await Running.start((context) => [new PvcProtectionController(context)]);
  const { client } = running;
  const finalizers = async (name: string): Promise<readonly string[]> =>
    (await client.get(persistentVolumeClaims, name, { namespace })).metadata.finalizers ?? [];
  const untilFinalizers = async (name: string, wanted: readonly string[]): Promise<void> =>
    await eventually(async () => {
      const present = await finalizers(name);
      if (present.join() !== wanted.join()) throw new Error(`${name} has ${present.join()}`);
    });
  await client.create(persistentVolumeClaims, claim('old'));
  await untilFinalizers('old', [PVC_FINALIZER]);

  const user = await client.create(pods, pod('user', of('used')));
  const deleted = { deletionTimestamp, finalizers: [PVC_FINALIZER, 'example.com/own'] };
  await client.create(persistentVolumeClaims, claim('used', deleted));
  await client.create(persistentVolumeClaims, claim('unused', deleted));
  await untilFinalizers('unused', ['example.com/own']);
  t.strictSame(await finalizers('used'), deleted.finalizers);
  await client.delete(pods, user.metadata.name ?? '', { namespace });
  await untilFinalizers('used', ['example.com/own']);
});

await t.test('volumes that are bound stay', async (t) => {
  await using running = await Running.start((context) => [new PvProtectionController(context)]);
  const { client } = running;
  const volume = (name: string, phase: string, metadata: ObjectMeta = {}): PersistentVolume => ({
    apiVersion: 'v1',
    kind: 'PersistentVolume',
    metadata: { name, ...metadata },
    status: { phase },
  });
  const finalizers = async (name: string): Promise<readonly string[]> =>
    (await client.get(persistentVolumes, name)).metadata.finalizers ?? [];
  const deleted = { deletionTimestamp, finalizers: [PV_FINALIZER, 'example.com/own'] };
  const bound = await client.create(persistentVolumes, volume('bound', 'Bound', deleted));
  await client.create(persistentVolumes, volume('free', 'Released', deleted));
  await client.create(persistentVolumes, volume('old', 'Bound'));
  await eventually(async () => {
    const all = await Promise.all(['free', 'old'].map(finalizers));
    if (all.flat().join() !== `example.com/own,${PV_FINALIZER}`) throw new Error(all.flat().join());
  });
  t.strictSame(await finalizers('bound'), deleted.finalizers);
  await client.update(persistentVolumes, { ...bound, status: { phase: 'Released' } });
  await eventually(async () => {
    if ((await finalizers('bound')).join() !== 'example.com/own') throw new Error('still protected');
  });
});
