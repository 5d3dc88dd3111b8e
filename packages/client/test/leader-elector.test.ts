import t from 'tap';
import { leases, type Lease } from '@naru/api';
import { silentLogger } from '@naru/component';
import { eventually, FakeApiServer, VirtualClock } from '@naru/testkit';
import { LeaderElector, RestClient, type Client } from '@naru/client';

interface Candidate {
  readonly elector: LeaderElector;
  readonly stop: AbortController;
  readonly ended: Promise<'lost' | 'stopped'>;
  leading: boolean;
}

function candidate(client: Client, clock: VirtualClock, identity: string): Candidate {
  const elector = new LeaderElector({
    client,
    clock,
    identity,
    namespace: 'kube-system',
    name: 'kube-scheduler',
    logger: silentLogger(),
    random: () => 0,
  });
  const stop = new AbortController();
  const started: { candidate?: Candidate } = {};
  const ended = elector.run(async (signal) => {
    if (started.candidate !== undefined) started.candidate.leading = true;
    await new Promise((resolve) => {
      signal.addEventListener('abort', resolve, { once: true });
    });
    if (started.candidate !== undefined) started.candidate.leading = false;
  }, stop.signal);
  const made: Candidate = { elector, stop, ended, leading: false };
  started.candidate = made;
  return made;
}

await t.test('LeaderElector', async (t) => {
  await using server = new FakeApiServer();
  await using client = new RestClient({ server: await server.start() });
  const clock = new VirtualClock();
  const lease = async (): Promise<Lease> => await client.get(leases, 'kube-scheduler', { namespace: 'kube-system' });
  /** Lets virtual time pass in small steps, with real time for the requests in between. */
  const pass = async (ms: number): Promise<void> => {
    for (let passed = 0; passed < ms; passed += 500) {
      await clock.advance(500);
      const { length } = server.requests;
      await client.raw('GET', '/api/v1/pods');
      await clock.settle();
      if (server.requests.length > length + 1) await client.raw('GET', '/api/v1/pods');
    }
  };

  const a = candidate(client, clock, 'a');
  await eventually(() => a.leading);

  await t.test('the first candidate creates the Lease and leads', async (t) => {
    t.match((await lease()).spec, { holderIdentity: 'a', leaseDurationSeconds: 15, leaseTransitions: 0 });
    t.match((await lease()).spec?.renewTime, /^2026-01-01T00:00:00\.000000Z$/u);
  });

  const b = candidate(client, clock, 'b');

  await t.test('the leader renews and the other waits', async (t) => {
    await pass(30_000);
    t.ok(a.leading);
    t.notOk(b.leading);
    t.equal(b.elector.leader, 'a');
    const { spec } = await lease();
    t.equal(spec?.holderIdentity, 'a');
    t.equal(spec?.acquireTime, '2026-01-01T00:00:00.000000Z');
    t.ok(Date.parse(spec?.renewTime ?? '') >= clock.now() - 4000, String(spec?.renewTime));
  });

  await t.test('a leader that stops gives the Lease back, and the other need not wait', async (t) => {
    a.stop.abort(new Error('stop'));
    t.equal(await a.ended, 'stopped');
    t.match((await lease()).spec, { holderIdentity: '', leaseDurationSeconds: 1 });
    await pass(3000);
    await eventually(() => b.leading);
    t.match((await lease()).spec, { holderIdentity: 'b', leaseTransitions: 1 });
  });

  await t.test('a leader that cannot renew stops leading before its Lease runs out', async (t) => {
    server.reactor = ({ method }, response) => {
      if (method === 'GET') return false;
      response.writeHead(500).end('{}');
      return true;
    };
    await pass(8000);
    t.ok(b.leading);
    await pass(5000);
    t.equal(await b.ended, 'lost');
    t.notOk(b.leading);
    server.reactor = undefined;
  });

  await t.test('a Lease that is not renewed is taken after its duration, counted from when it was seen', async (t) => {
    const c = candidate(client, clock, 'c');
    await pass(14_000);
    t.notOk(c.leading);
    await pass(4000);
    await eventually(() => c.leading);
    t.match((await lease()).spec, { holderIdentity: 'c', leaseTransitions: 2 });
    await client.patch(
      leases,
      'kube-scheduler',
      'merge',
      { spec: { holderIdentity: 'd' } },
      { namespace: 'kube-system' },
    );
    await pass(4000);
    t.equal(await c.ended, 'lost', 'and one that another holds is lost');
  });

  await t.test('refuses times that cannot work', (t) => {
    const options = { client, namespace: '', name: '', identity: '', logger: silentLogger() };
    t.throws(() => new LeaderElector({ ...options, leaseDurationMs: 10_000 }), /greater than the renew deadline/u);
    t.throws(() => new LeaderElector({ ...options, retryPeriodMs: 9000 }), /times the retry period/u);
    t.end();
  });
});
