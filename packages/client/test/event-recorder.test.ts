import t from 'tap';
import { events, type CoreEvent, type Pod } from '@naru/api';
import { silentLogger } from '@naru/component';
import { eventually, FakeApiServer, VirtualClock } from '@naru/testkit';
import { EventRecorder, listAll, RestClient } from '@naru/client';

const pod: Pod = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'web', namespace: 'default', uid: 'u1', resourceVersion: '7' },
};

await t.test('EventRecorder', async (t) => {
  await using server = new FakeApiServer();
  await using client = new RestClient({ server: await server.start() });
  const clock = new VirtualClock();
  const recorder = (): EventRecorder =>
    new EventRecorder({ client, clock, component: 'kubelet', host: 'n1', logger: silentLogger() });
  const stored = async (): Promise<CoreEvent[]> => {
    const { items } = await listAll(client, events);
    for (const { metadata } of items)
      await client.delete(events, metadata.name ?? '', { namespace: metadata.namespace });
    return items;
  };

  await t.test('writes what happened to which object, and who says so', async (t) => {
    await using recording = recorder();
    const note = { type: 'Normal', reason: 'Started', message: 'Started container' } as const;
    recording.event(pod, note, { fieldPath: 'spec.containers{web}' });
    await recording.flushed();
    t.match(await stored(), [
      {
        metadata: { name: /^web\.[0-9a-f]{16}$/u, namespace: 'default' },
        involvedObject: {
          kind: 'Pod',
          apiVersion: 'v1',
          name: 'web',
          namespace: 'default',
          uid: 'u1',
          fieldPath: 'spec.containers{web}',
        },
        ...note,
        source: { component: 'kubelet', host: 'n1' },
        count: 1,
        firstTimestamp: '2026-01-01T00:00:00Z',
      },
    ]);
  });

  await t.test('puts events of what has no namespace into default', async (t) => {
    await using recording = recorder();
    const node = { apiVersion: 'v1', kind: 'Node', metadata: { name: 'n1' } };
    recording.event(node, { type: 'Normal', reason: 'Registered', message: 'x' });
    await recording.flushed();
    t.match(await stored(), [{ metadata: { namespace: 'default' }, involvedObject: { kind: 'Node' } }]);
  });

  await t.test('counts a duplicate instead of writing it again', async (t) => {
    await using recording = recorder();
    const note = { type: 'Warning', reason: 'BackOff', message: 'Back-off' } as const;
    recording.event(pod, note);
    await clock.advance(5000);
    recording.event(pod, note);
    recording.event(pod, note);
    recording.event(pod, { ...note, message: 'other' });
    await recording.flushed();
    const found = await stored();
    t.match(found, [
      { message: 'Back-off', count: 3, firstTimestamp: '2026-01-01T00:00:00Z', lastTimestamp: '2026-01-01T00:00:05Z' },
      { message: 'other', count: 1 },
    ]);
    recording.event(pod, note);
    await recording.flushed();
    t.match(await stored(), [{ message: 'Back-off', count: 1 }], 'anew when the first has expired');
  });

  await t.test('combines many similar events and holds back a source that is too loud', async (t) => {
    await using recording = recorder();
    for (let i = 0; i < 40; i++) recording.event(pod, { type: 'Warning', reason: 'Failed', message: `failure ${i}` });
    await recording.flushed();
    const found = await stored();
    t.equal(found.length, 10);
    t.match(found.at(-1), { message: '(combined from similar events): failure 24', count: 16 });
    t.equal(recording.dropped, 15);
    await clock.advance(300_000);
    recording.event(pod, { type: 'Normal', reason: 'Recovered', message: '' });
    await recording.flushed();
    t.equal((await stored()).length, 1, 'it may speak again after a while');
  });

  await t.test('drops events beyond its queue, and never fails', async (t) => {
    await using recording = recorder();
    server.reactor = (_request, response) => {
      response.destroy();
      return true;
    };
    const node = (i: number) => ({ apiVersion: 'v1', kind: 'Node', metadata: { name: `n${i}` } });
    for (let i = 0; i < 1005; i++) recording.event(node(i), { type: 'Normal', reason: 'X', message: '' });
    t.equal(recording.dropped, 5);
    await eventually(() => clock.pending > 0);
    server.reactor = undefined;
    server.requests.length = 0;
    await clock.advance(2000);
    await eventually(() => server.requests.length > 0);
    await recording[Symbol.asyncDispose]();
    recording.event(node(0), { type: 'Normal', reason: 'X', message: '' });
    t.ok((await stored()).length >= 1, 'the first was tried again');
  });
});
