import { parseDuration, UsageError } from '@naru/component';

/** Fields by the kind of their value; what is not here is refused. */
export type Shape = {
  readonly [field: string]:
    'string' | 'boolean' | 'integer' | 'number' | 'duration' | 'ignored' | Shape | readonly [Shape];
};

const pluginSet = {
  enabled: [{ name: 'string', weight: 'integer' }],
  disabled: [{ name: 'string', weight: 'integer' }],
} as const satisfies Shape;

/** KubeSchedulerConfiguration. */
export const configShape = {
  apiVersion: 'string',
  kind: 'string',
  clientConnection: {
    kubeconfig: 'string',
    acceptContentTypes: 'string',
    contentType: 'string',
    qps: 'number',
    burst: 'integer',
  },
  leaderElection: {
    leaderElect: 'boolean',
    leaseDuration: 'duration',
    renewDeadline: 'duration',
    retryPeriod: 'duration',
    resourceLock: 'string',
    resourceName: 'string',
    resourceNamespace: 'string',
  },
  parallelism: 'integer',
  percentageOfNodesToScore: 'integer',
  podInitialBackoffSeconds: 'integer',
  podMaxBackoffSeconds: 'integer',
  enableProfiling: 'boolean',
  enableContentionProfiling: 'boolean',
  delayCacheUntilActive: 'boolean',
  profiles: [
    {
      schedulerName: 'string',
      percentageOfNodesToScore: 'integer',
      plugins: {
        preEnqueue: pluginSet,
        queueSort: pluginSet,
        preFilter: pluginSet,
        filter: pluginSet,
        postFilter: pluginSet,
        preScore: pluginSet,
        score: pluginSet,
        reserve: pluginSet,
        permit: pluginSet,
        preBind: pluginSet,
        bind: pluginSet,
        postBind: pluginSet,
        multiPoint: pluginSet,
      },
      pluginConfig: [{ name: 'string', args: 'ignored' }],
    },
  ],
} as const satisfies Shape;

/** The error of a field of the configuration. */
export const configError = (path: string, why: string): UsageError =>
  new UsageError(`--config: ${path === '' ? '' : `${path}: `}${why}`);

/** @throws UsageError when `value` has fields or types that `shape` has not */
export function checkShape(value: unknown, shape: Shape, path: string): void {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw configError(path, 'must be an object');
  for (const [field, child] of Object.entries(value)) {
    const at = path === '' ? field : `${path}.${field}`;
    const expected = Object.hasOwn(shape, field) ? shape[field] : undefined;
    if (expected === undefined) throw configError('', `strict decoding error: unknown field "${at}"`);
    if (child === null || child === undefined) continue;
    if (typeof expected === 'string') checkScalar(child, expected, at);
    else if (isList(expected)) {
      if (!Array.isArray(child)) throw configError(at, 'must be a list');
      for (const [i, each] of child.entries()) checkShape(each, expected[0], `${at}[${i}]`);
    } else checkShape(child, expected, at);
  }
}

function isList(shape: Shape | readonly [Shape]): shape is readonly [Shape] {
  return Array.isArray(shape);
}

function checkScalar(value: unknown, expected: Extract<Shape[string], string>, path: string): void {
  const isDuration = typeof value === 'string' && parseDuration(value) !== undefined;
  const fits = {
    string: typeof value === 'string',
    boolean: typeof value === 'boolean',
    integer: Number.isSafeInteger(value),
    number: typeof value === 'number',
    duration: isDuration,
    ignored: true,
  }[expected];
  if (!fits) throw configError(path, `must be ${expected === 'integer' ? 'an' : 'a'} ${expected}`);
}
