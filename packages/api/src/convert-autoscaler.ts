/**
 * HorizontalPodAutoscaler of autoscaling/v1 and v2. v1 knows one target, the average utilization of cpu; what else v2 says
 * is kept in annotations, in v1's shape of a metric.
 */
import type { UnstructuredObject } from './object.ts';
import { isJsonObject, type JsonObject } from './patch/json.ts';

const METRICS = 'autoscaling.alpha.kubernetes.io/metrics';
const CURRENT_METRICS = 'autoscaling.alpha.kubernetes.io/current-metrics';
const CONDITIONS = 'autoscaling.alpha.kubernetes.io/conditions';
const BEHAVIOR = 'autoscaling.alpha.kubernetes.io/behavior';
const allAnnotations: readonly string[] = [METRICS, CURRENT_METRICS, CONDITIONS, BEHAVIOR];

const object = (value: unknown): JsonObject => (isJsonObject(value) ? value : {});
const list = (value: unknown): JsonObject[] => (Array.isArray(value) ? value.filter(isJsonObject) : []);

/** The entries whose value is there. */
function defined(fields: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

/** Names of a metric source's amounts in v1: of specs with `target`, of statuses with `current`. */
type Amounts = 'target' | 'current';

function amountsToV1(source: unknown, of: Amounts): JsonObject {
  const { averageUtilization, averageValue, value } = object(source);
  const [utilizationName, averageName, valueName] = namesOf(of);
  return defined({ [utilizationName]: averageUtilization, [averageName]: averageValue, [valueName]: value });
}

const namesOf = (of: Amounts): readonly [string, string, string] =>
  of === 'target'
    ? ['targetAverageUtilization', 'targetAverageValue', 'targetValue']
    : ['currentAverageUtilization', 'currentAverageValue', 'currentValue'];

function amountsToV2(source: JsonObject, of: Amounts): JsonObject {
  const [utilizationName, averageName, valueName] = namesOf(of);
  const averageUtilization = source[utilizationName];
  const averageValue = source[averageName] ?? source['averageValue'];
  const value = source[valueName];
  const type = averageUtilization !== undefined ? 'Utilization' : averageValue !== undefined ? 'AverageValue' : 'Value';
  return defined({ type: of === 'target' ? type : undefined, averageUtilization, averageValue, value });
}

/** One metric of v2 in v1's shape. */
function metricToV1(metric: JsonObject, of: Amounts): JsonObject {
  const type = String(metric['type']);
  const key = type.charAt(0).toLowerCase() + type.slice(1);
  const source = object(metric[key]);
  const { name, selector } = object(source['metric']);
  const amounts = amountsToV1(source[of], of);
  switch (type) {
    case 'Resource':
      return { type, [key]: { name: source['name'], ...amounts } };
    case 'ContainerResource':
      return { type, [key]: { name: source['name'], container: source['container'], ...amounts } };
    case 'External':
      return { type, [key]: defined({ metricName: name, metricSelector: selector, ...amounts }) };
    case 'Object': {
      const { [namesOf(of)[1]]: averageValue, ...rest } = amounts;
      return {
        type,
        [key]: defined({ target: source['describedObject'], metricName: name, selector, averageValue, ...rest }),
      };
    }
    default:
      return { type, [key]: defined({ metricName: name, selector, ...amounts }) };
  }
}

/** One metric in v1's shape in v2's. */
function metricToV2(metric: JsonObject, of: Amounts): JsonObject {
  const type = String(metric['type']);
  const key = type.charAt(0).toLowerCase() + type.slice(1);
  const source = object(metric[key]);
  const amounts = amountsToV2(source, of);
  const identifier = defined({ name: source['metricName'], selector: source['selector'] ?? source['metricSelector'] });
  switch (type) {
    case 'Resource':
      return { type, [key]: { name: source['name'], [of]: amounts } };
    case 'ContainerResource':
      return { type, [key]: { name: source['name'], container: source['container'], [of]: amounts } };
    case 'Object':
      return { type, [key]: { describedObject: source['target'], metric: identifier, [of]: amounts } };
    default:
      return { type, [key]: { metric: identifier, [of]: amounts } };
  }
}

function isCpuUtilization(metric: JsonObject): boolean {
  const { name, target } = object(metric['resource']);
  return metric['type'] === 'Resource' && name === 'cpu' && object(target)['averageUtilization'] !== undefined;
}

function isCpuStatus(metric: JsonObject): boolean {
  const { name, current } = object(metric['resource']);
  return metric['type'] === 'Resource' && name === 'cpu' && object(current)['averageUtilization'] !== undefined;
}

/** Metadata with these annotations; those of the conversion that are undefined are taken away. */
function withAnnotations(
  metadata: UnstructuredObject['metadata'],
  values: Readonly<Record<string, unknown>>,
): UnstructuredObject['metadata'] {
  const kept = Object.entries(metadata.annotations ?? {}).filter(([key]) => !allAnnotations.includes(key));
  const added = Object.entries(values)
    .filter(([, value]) => value !== undefined && !(Array.isArray(value) && value.length === 0))
    .map(([key, value]): [string, string] => [key, JSON.stringify(value)]);
  const { annotations: _, ...rest } = metadata;
  const annotations = Object.fromEntries([...kept, ...added]);
  return Object.keys(annotations).length === 0 ? rest : { ...rest, annotations };
}

/** A stored autoscaler (v2) in v1's shape. */
export function autoscalerFromHub(stored: UnstructuredObject): UnstructuredObject {
  const { metrics, behavior, ...spec } = object(stored['spec']);
  const { currentMetrics, conditions, ...status } = object(stored['status']);
  const cpu = list(metrics).find(isCpuUtilization);
  const cpuStatus = list(currentMetrics).find(isCpuStatus);
  const target = object(object(cpu?.['resource'])['target'])['averageUtilization'];
  const current = object(object(cpuStatus?.['resource'])['current'])['averageUtilization'];
  return {
    ...stored,
    apiVersion: 'autoscaling/v1',
    metadata: withAnnotations(stored.metadata, {
      [METRICS]: list(metrics)
        .filter((each) => each !== cpu)
        .map((each) => metricToV1(each, 'target')),
      [CURRENT_METRICS]: list(currentMetrics)
        .filter((each) => each !== cpuStatus)
        .map((each) => metricToV1(each, 'current')),
      [CONDITIONS]: conditions,
      [BEHAVIOR]: behavior,
    }),
    spec: defined({ ...spec, targetCPUUtilizationPercentage: target }),
    ...(stored['status'] === undefined
      ? {}
      : { status: defined({ ...status, currentCPUUtilizationPercentage: current }) }),
  };
}

/** What an annotation of the conversion holds; undefined where it is missing or no JSON. */
function parsed(annotations: Readonly<Record<string, string>>, key: string): unknown {
  try {
    return JSON.parse(annotations[key] ?? '') as unknown;
  } catch {
    return undefined;
  }
}

/** An autoscaler of v1 in the stored shape, v2. */
export function autoscalerToHub(given: UnstructuredObject): UnstructuredObject {
  const { targetCPUUtilizationPercentage: target, ...spec } = object(given['spec']);
  const { currentCPUUtilizationPercentage: current, ...status } = object(given['status']);
  const annotations = given.metadata.annotations ?? {};
  const metrics = list(parsed(annotations, METRICS)).map((each) => metricToV2(each, 'target'));
  if (target !== undefined)
    metrics.unshift({
      type: 'Resource',
      resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: target } },
    });
  const currentMetrics = list(parsed(annotations, CURRENT_METRICS)).map((each) => metricToV2(each, 'current'));
  if (current !== undefined)
    currentMetrics.unshift({ type: 'Resource', resource: { name: 'cpu', current: { averageUtilization: current } } });
  return {
    ...given,
    apiVersion: 'autoscaling/v2',
    metadata: withAnnotations(given.metadata, {}),
    spec: defined({
      ...spec,
      metrics: metrics.length === 0 ? undefined : metrics,
      behavior: parsed(annotations, BEHAVIOR),
    }),
    ...(given['status'] === undefined
      ? {}
      : {
          status: defined({
            ...status,
            currentMetrics: currentMetrics.length === 0 ? undefined : currentMetrics,
            conditions: parsed(annotations, CONDITIONS),
          }),
        }),
  };
}
