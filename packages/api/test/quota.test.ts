import t from 'tap';
import {
  countedResource,
  countName,
  podLimits,
  podRequests,
  quotaEvaluator,
  quotaMatches,
  quotaUsage,
  type Amounts,
  type KubeObject,
  type PodSpec,
  type ResourceQuota,
} from '../src/index.ts';

const texts = (amounts: Amounts): Record<string, string> =>
  Object.fromEntries([...amounts].map(([name, quantity]) => [name, quantity.toString()]));

const container = (requests: Record<string, string>, more: Record<string, unknown> = {}) => ({
  name: 'c',
  resources: { requests },
  ...more,
});
const specOf = (spec: Record<string, unknown>): PodSpec => spec as unknown as PodSpec;
const object = (fields: Record<string, unknown>): KubeObject => ({ metadata: {}, ...fields }) as unknown as KubeObject;

void t.test('a pod needs the most that is needed at a time', (t) => {
  const spec = specOf({
    containers: [container({ cpu: '100m', memory: '1Gi' }), container({ cpu: '200m' })],
    initContainers: [
      container({ cpu: '1' }),
      container({ cpu: '50m' }, { restartPolicy: 'Always' }),
      container({ cpu: '2', memory: '100Mi' }),
    ],
    overhead: { cpu: '10m' },
  });
  // The last init container runs beside the sidecar: 2 + 50m.
  t.same(texts(podRequests(spec)), { cpu: '2060m', memory: '1Gi' });
  t.same(texts(podLimits(spec)), {});
  const limited = specOf({
    containers: [{ name: 'c', resources: { limits: { cpu: '1' } } }],
    overhead: { cpu: '10m', memory: '1Mi' },
  });
  t.same(texts(podLimits(limited)), { cpu: '1010m' });
  const podLevel = specOf({
    containers: [container({ cpu: '1', 'example.com/gpu': '1' })],
    resources: { requests: { cpu: '3' } },
  });
  t.same(texts(podRequests(podLevel)), { cpu: '3', 'example.com/gpu': '1' });
  t.end();
});

void t.test('what pods, Services, claims and other objects use of a quota', (t) => {
  const pods = quotaEvaluator({ group: '', resource: 'pods' });
  const pod = object({
    spec: {
      containers: [
        {
          name: 'c',
          resources: { requests: { cpu: '1', 'example.com/gpu': '2' }, limits: { cpu: '2', memory: '1Gi' } },
        },
      ],
    },
  });
  t.same(texts(pods.usage(pod, 0)), {
    pods: '1',
    'count/pods': '1',
    cpu: '1',
    'requests.cpu': '1',
    'requests.example.com/gpu': '2',
    'limits.cpu': '2',
    'limits.memory': '1Gi',
  });
  t.same(texts(pods.usage(object({ spec: {}, status: { phase: 'Succeeded' } }), 0)), { 'count/pods': '1' });
  const gone = { deletionTimestamp: '1970-01-01T00:00:10Z', deletionGracePeriodSeconds: 5 };
  t.same(texts(pods.usage(object({ metadata: gone, spec: {} }), 15_000)), { 'count/pods': '1', pods: '1' });
  t.same(texts(pods.usage(object({ metadata: gone, spec: {} }), 15_001)), { 'count/pods': '1' });
  t.equal(
    pods.constraintProblem?.(
      ['requests.cpu', 'limits.cpu', 'limits.memory'],
      object({ spec: { containers: [{ name: 'b' }, { name: 'a' }] } }),
    ),
    'must specify limits.cpu for: a,b; limits.memory for: a,b; requests.cpu for: a,b',
  );
  t.equal(pods.constraintProblem?.(['limits.cpu', 'pods'], pod), undefined);

  const services = quotaEvaluator({ group: '', resource: 'services' });
  const ports = [{ port: 80 }, { port: 81, nodePort: 30001 }];
  const nodePortsOf = (spec: Record<string, unknown>) => texts(services.usage(object({ spec }), 0));
  t.match(nodePortsOf({ type: 'NodePort', ports }), { 'services.nodeports': '2', 'services.loadbalancers': '0' });
  t.match(nodePortsOf({ type: 'LoadBalancer', ports }), { 'services.nodeports': '2', 'services.loadbalancers': '1' });
  t.match(nodePortsOf({ type: 'LoadBalancer', ports, allocateLoadBalancerNodePorts: false }), {
    'services.nodeports': '1',
  });
  t.match(nodePortsOf({ type: 'ClusterIP', ports }), { 'services.nodeports': '0', services: '1' });

  const claims = quotaEvaluator({ group: '', resource: 'persistentvolumeclaims' });
  const claim = object({ spec: { storageClassName: 'fast', resources: { requests: { storage: '1Gi' } } } });
  t.same(texts(claims.usage(claim, 0)), {
    'count/persistentvolumeclaims': '1',
    persistentvolumeclaims: '1',
    'fast.storageclass.storage.k8s.io/persistentvolumeclaims': '1',
    'requests.storage': '1Gi',
    'fast.storageclass.storage.k8s.io/requests.storage': '1Gi',
  });
  const deployments = quotaEvaluator({ group: 'apps', resource: 'deployments' });
  t.same(texts(deployments.usage(object({}), 0)), { 'count/deployments.apps': '1' });
  t.same(countedResource('count/deployments.apps'), { group: 'apps', resource: 'deployments' });
  t.same(countedResource('secrets'), { group: '', resource: 'secrets' });
  t.equal(countedResource('requests.cpu'), undefined);
  t.equal(countName({ group: '', resource: 'secrets' }), 'count/secrets');
  t.end();
});

void t.test('a quota counts the pods that all its scopes match', (t) => {
  const evaluator = quotaEvaluator({ group: '', resource: 'pods' });
  const quota = (spec: Record<string, unknown>): ResourceQuota => object({ spec: { hard: { pods: '5' }, ...spec } });
  const plain = object({ spec: { containers: [{ name: 'c' }] } });
  const ending = object({
    spec: { containers: [container({ cpu: '1' })], activeDeadlineSeconds: 5, priorityClassName: 'high' },
  });
  const remote = object({
    spec: {
      containers: [],
      affinity: { podAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [{ namespaces: ['other'] }] } },
    },
  });
  const matches = (spec: Record<string, unknown>): boolean[] =>
    [plain, ending, remote].map((pod) => quotaMatches(quota(spec), evaluator, pod));
  t.same(matches({}), [true, true, true]);
  t.same(matches({ scopes: ['Terminating'] }), [false, true, false]);
  t.same(matches({ scopes: ['NotTerminating'] }), [true, false, true]);
  t.same(matches({ scopes: ['BestEffort'] }), [true, false, true]);
  t.same(matches({ scopes: ['NotBestEffort', 'Terminating'] }), [false, true, false]);
  t.same(matches({ scopes: ['CrossNamespacePodAffinity'] }), [false, false, true]);
  const byClass = (operator: string, values?: string[]) => ({
    scopeSelector: { matchExpressions: [{ scopeName: 'PriorityClass', operator, values }] },
  });
  t.same(matches(byClass('In', ['high'])), [false, true, false]);
  t.same(matches(byClass('NotIn', ['high'])), [true, false, true]);
  t.same(matches(byClass('Exists')), [false, true, false]);
  t.same(matches(byClass('DoesNotExist')), [true, false, true]);
  t.equal(quotaMatches(quota({ hard: { secrets: '1' } }), evaluator, plain), false);
  t.same(texts(quotaUsage(quota({ hard: { pods: '5', cpu: '9', secrets: '1' } }), evaluator, [plain, ending], 0)), {
    pods: '2',
    cpu: '1',
  });
  t.end();
});
