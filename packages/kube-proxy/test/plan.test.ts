import type { EndpointSlice, Service } from '@naru/api';
import t from 'tap';
import type { Backend } from '../src/plan/listener-plan.ts';
import { planService } from '../src/plan/service-plan.ts';
import { Balancer } from '../src/userspace/balancer.ts';
import { newService, newSlice } from './fixtures.ts';

const node = { name: 'node-1', zone: 'a' };

/** The plan as lines `TCP/address:port -> backend backend`. */
function planText(service: Service, slices: readonly EndpointSlice[] = [], addresses = ['127.0.0.1']): string[] {
  return planService({ service, slices, node, nodePortAddresses: addresses }).map(
    ({ key, backends, affinityMs }) =>
      `${key} ->${backends.map((each) => ` ${each.key}`).join('')}${affinityMs === undefined ? '' : ` (${affinityMs} ms)`}`,
  );
}

const clusterIP = '127.11.0.1';

await t.test('which addresses a Service is served at', (t) => {
  const slices = [newSlice([{ address: '127.12.0.2' }, { address: '127.12.0.3' }])];
  const backends = ' 127.12.0.2:8080 127.12.0.3:8080';
  const cases: readonly [string, Service, string[]][] = [
    ['ClusterIP', newService({ clusterIP }), [`TCP/127.11.0.1:80 ->${backends}`]],
    ['headless', newService({ clusterIP: 'None' }), []],
    ['without an address yet', newService({}), []],
    ['ExternalName', newService({ type: 'ExternalName', externalName: 'example.com', clusterIP }), []],
    [
      'NodePort',
      newService({ type: 'NodePort', clusterIP, ports: [{ port: 80, nodePort: 30080 }] }),
      [`TCP/127.11.0.1:80 ->${backends}`, `TCP/127.0.0.1:30080 ->${backends}`],
    ],
    [
      'LoadBalancer',
      newService({ type: 'LoadBalancer', clusterIP, ports: [{ port: 80, nodePort: 30080 }] }),
      [`TCP/127.11.0.1:80 ->${backends}`, `TCP/127.0.0.1:30080 ->${backends}`],
    ],
    ['a protocol that is not proxied', newService({ clusterIP, ports: [{ port: 80, protocol: 'SCTP' }] }), []],
    [
      'no backends of this protocol',
      newService({ clusterIP, ports: [{ port: 53, protocol: 'UDP' }] }),
      ['UDP/127.11.0.1:53 ->'],
    ],
    [
      'session affinity',
      newService({ clusterIP, sessionAffinity: 'ClientIP' }),
      [`TCP/127.11.0.1:80 ->${backends} (10800000 ms)`],
    ],
    [
      'session affinity with a timeout',
      newService({
        clusterIP,
        sessionAffinity: 'ClientIP',
        sessionAffinityConfig: { clientIP: { timeoutSeconds: 5 } },
      }),
      [`TCP/127.11.0.1:80 ->${backends} (5000 ms)`],
    ],
    [
      'two families',
      newService({ clusterIP, clusterIPs: [clusterIP, 'fd00::1'] }),
      [`TCP/127.11.0.1:80 ->${backends}`, 'TCP/[fd00::1]:80 ->'],
    ],
  ];
  for (const [name, service, expected] of cases) t.same(planText(service, slices), expected, name);
  t.end();
});

await t.test('ports are told apart by name and protocol', (t) => {
  const service = newService({
    clusterIP,
    ports: [
      { name: 'http', port: 80 },
      { name: 'dns', port: 53, protocol: 'UDP' },
    ],
  });
  const slice = newSlice([{ address: '127.12.0.2' }], {
    ports: [
      { name: 'http', port: 8080, protocol: 'TCP' },
      { name: 'dns', port: 5353, protocol: 'UDP' },
      { name: 'http', port: 1, protocol: 'UDP' },
    ],
  });
  t.same(planText(service, [slice]), ['TCP/127.11.0.1:80 -> 127.12.0.2:8080', 'UDP/127.11.0.1:53 -> 127.12.0.2:5353']);
  t.same(
    planService({ service, slices: [], node, nodePortAddresses: [] }).map(({ servicePort }) => servicePort),
    ['default/web:http', 'default/web:dns'],
  );
  t.end();
});

await t.test('which endpoints get traffic', (t) => {
  const ready = { ready: true, serving: true, terminating: false };
  const draining = { ready: false, serving: true, terminating: true };
  const dead = { ready: false, serving: false, terminating: true };
  const starting = { ready: false, serving: false, terminating: false };
  const backends = (policy: string, ...endpoints: Parameters<typeof newSlice>[0][number][]): string =>
    planText(newService({ clusterIP, internalTrafficPolicy: policy }), [newSlice(endpoints)])[0]
      ?.replace(/^.*->/u, '')
      .replaceAll(':8080', '')
      .trim() ?? '';
  const at = (address: string, conditions: object, rest: object = {}) => ({ address, conditions, ...rest });
  const zones = (...names: string[]) => ({ hints: { forZones: names.map((name) => ({ name })) } });
  const cases: readonly [string, string, string, Parameters<typeof newSlice>[0][number][]][] = [
    ['ready ones', 'Cluster', '1 2', [at('1', ready), at('2', ready), at('3', starting)]],
    ['no condition means ready', 'Cluster', '1', [at('1', {})]],
    ['draining ones get nothing while others are ready', 'Cluster', '1', [at('1', ready), at('2', draining)]],
    ['draining ones are the last resort', 'Cluster', '2', [at('1', starting), at('2', draining), at('3', dead)]],
    ['none', 'Cluster', '', [at('1', starting), at('3', dead)]],
    ['local', 'Local', '1', [at('1', ready, { nodeName: 'node-1' }), at('2', ready, { nodeName: 'node-2' })]],
    ['local and draining', 'Local', '1', [at('1', draining, { nodeName: 'node-1' }), at('2', ready)]],
    ['nothing local', 'Local', '', [at('2', ready, { nodeName: 'node-2' })]],
    ['hinted for the zone', 'Cluster', '1', [at('1', ready, zones('a')), at('2', ready, zones('b'))]],
    ['a hint is missing', 'Cluster', '1 2', [at('1', ready, zones('a')), at('2', ready)]],
    ['no hint is for the zone', 'Cluster', '1 2', [at('1', ready, zones('b')), at('2', ready, zones('c'))]],
  ];
  for (const [name, policy, expected, endpoints] of cases) t.equal(backends(policy, ...endpoints), expected, name);
  t.end();
});

await t.test('slices are joined; an address in two of them counts once', (t) => {
  const slices = [
    newSlice([{ address: '127.12.0.2', conditions: { ready: false } }, { address: '127.12.0.3' }]),
    newSlice([{ address: '127.12.0.2' }], { name: 'web-2' }),
    newSlice([{ address: 'fd00::2' }], { name: 'web-6', addressType: 'IPv6' }),
  ];
  t.same(planText(newService({ clusterIP }), slices), ['TCP/127.11.0.1:80 -> 127.12.0.2:8080 127.12.0.3:8080']);
  t.end();
});

await t.test('external traffic can be held to the node, internal not', (t) => {
  const service = newService({
    type: 'NodePort',
    clusterIP,
    externalTrafficPolicy: 'Local',
    ports: [{ port: 80, nodePort: 30080 }],
  });
  const slices = [newSlice([{ address: '127.12.0.2', nodeName: 'node-2' }])];
  t.same(planText(service, slices), ['TCP/127.11.0.1:80 -> 127.12.0.2:8080', 'TCP/127.0.0.1:30080 ->']);
  t.end();
});

await t.test('the balancer takes turns, keeps clients, and goes on when backends change', (t) => {
  const backends = (...names: string[]): Backend[] => names.map((key) => ({ key, address: key, port: 1 }));
  const balancer = new Balancer();
  const picks = (count: number, client = 'c', nowMs = 0): string =>
    Array.from({ length: count }, () => balancer.pick(client, nowMs)?.key).join('');
  t.equal(balancer.pick('c', 0), undefined);
  balancer.update(backends('a', 'b', 'c'), undefined);
  t.equal(picks(5), 'abcab');
  balancer.update(backends('a', 'b', 'd'), undefined);
  t.equal(picks(3), 'dab', 'the turn goes on after the backend that is gone');
  t.equal(balancer.pick('c', 0, new Set(['d', 'a']))?.key, 'b');
  t.equal(balancer.pick('c', 0, new Set(['a', 'b', 'd'])), undefined);
  balancer.update(backends('a', 'b'), 1000);
  const [first] = picks(1, 'x');
  t.equal(picks(3, 'x', 900), `${first}${first}${first}`);
  t.equal(picks(1, 'x', 1800), first, 'each use prolongs it');
  const other = balancer.pick('x', 1800, new Set([first ?? '']))?.key;
  t.not(other, first, 'a client whose backend does not answer changes over');
  t.equal(balancer.pick('x', 1800)?.key, other, 'and stays there');
  t.not(picks(1, 'y', 1800), picks(1, 'z', 1800), 'clients are spread');
  balancer.update(backends(first ?? ''), 1000);
  t.equal(picks(1, 'x', 1800), first, 'a backend that is gone is not kept');
  t.end();
});
