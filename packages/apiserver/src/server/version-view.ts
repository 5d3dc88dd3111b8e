/**
 * Kinds that are served in two versions and stored in one: Events (core and events.k8s.io) and HorizontalPodAutoscalers
 * (autoscaling/v1 and v2). Everything is stored, cached and checked in the one; the other is a view of it.
 */
import {
  events,
  eventsEvents,
  horizontalPodAutoscalers,
  horizontalPodAutoscalersV1,
  type Resource,
  type UnstructuredObject,
} from '@naru/api';
import { frameHead, type FrameEncoder } from '../cache/cache-event.ts';

export interface VersionView {
  /** The resource as it is served, and as it is stored. */
  readonly served: Resource;
  readonly stored: Resource;
  /** Both may change the object that they are given, and return it. */
  toStored(object: UnstructuredObject): UnstructuredObject;
  fromStored(object: UnstructuredObject): UnstructuredObject;
}

/** Fields of core's Event by those of events.k8s.io's. */
const eventFields: readonly (readonly [string, string])[] = [
  ['regarding', 'involvedObject'],
  ['note', 'message'],
  ['deprecatedSource', 'source'],
  ['deprecatedFirstTimestamp', 'firstTimestamp'],
  ['deprecatedLastTimestamp', 'lastTimestamp'],
  ['deprecatedCount', 'count'],
  ['reportingController', 'reportingComponent'],
];

function rename(object: UnstructuredObject, from: string, to: string): void {
  if (object[from] === undefined) return;
  object[to] = object[from];
  delete object[from];
}

const eventsView: VersionView = {
  served: eventsEvents,
  stored: events,
  toStored(object) {
    for (const [event, core] of eventFields) rename(object, event, core);
    object.apiVersion = 'v1';
    return object;
  },
  fromStored(object) {
    for (const [event, core] of eventFields) rename(object, core, event);
    object.apiVersion = 'events.k8s.io/v1';
    return object;
  },
};

interface MetricSpec {
  type: string;
  resource?: { name: string; target?: { type: string; averageUtilization?: number } };
}

interface MetricStatus {
  type: string;
  resource?: { name: string; current?: { averageUtilization?: number } };
}

/** Where autoscaling/v1 keeps what it has no fields for. */
const metricsAnnotation = 'autoscaling.alpha.kubernetes.io/metrics';

const isCpuUtilization = ({ type, resource }: MetricSpec): boolean =>
  type === 'Resource' && resource?.name === 'cpu' && resource.target?.averageUtilization !== undefined;

const autoscalersView: VersionView = {
  served: horizontalPodAutoscalersV1,
  stored: horizontalPodAutoscalers,
  toStored(object) {
    object.apiVersion = 'autoscaling/v2';
    const spec = (object['spec'] ?? {}) as { targetCPUUtilizationPercentage?: number; metrics?: MetricSpec[] };
    const metrics = JSON.parse(object.metadata.annotations?.[metricsAnnotation] ?? '[]') as MetricSpec[];
    if (spec.targetCPUUtilizationPercentage !== undefined)
      metrics.push({
        type: 'Resource',
        resource: {
          name: 'cpu',
          target: { type: 'Utilization', averageUtilization: spec.targetCPUUtilizationPercentage },
        },
      });
    delete spec.targetCPUUtilizationPercentage;
    if (metrics.length > 0) spec.metrics = metrics;
    if (object.metadata.annotations !== undefined) delete object.metadata.annotations[metricsAnnotation];
    const status = object['status'] as
      { currentCPUUtilizationPercentage?: number; currentMetrics?: unknown } | undefined;
    if (status?.currentCPUUtilizationPercentage !== undefined) {
      const current = { averageUtilization: status.currentCPUUtilizationPercentage };
      status.currentMetrics = [{ type: 'Resource', resource: { name: 'cpu', current } }];
      delete status.currentCPUUtilizationPercentage;
    }
    return object;
  },
  fromStored(object) {
    object.apiVersion = 'autoscaling/v1';
    const spec = (object['spec'] ?? {}) as {
      metrics?: MetricSpec[];
      behavior?: unknown;
      targetCPUUtilizationPercentage?: number;
    };
    const metrics = spec.metrics ?? [];
    const utilization = metrics.find(isCpuUtilization)?.resource?.target?.averageUtilization;
    if (utilization !== undefined) spec.targetCPUUtilizationPercentage = utilization;
    const others = metrics.filter((each) => !isCpuUtilization(each));
    if (others.length > 0)
      object.metadata.annotations = { ...object.metadata.annotations, [metricsAnnotation]: JSON.stringify(others) };
    delete spec.metrics;
    delete spec.behavior;
    const status = object['status'] as
      { currentMetrics?: MetricStatus[]; conditions?: unknown; currentCPUUtilizationPercentage?: number } | undefined;
    const current = status?.currentMetrics?.find((each) => each.resource?.name === 'cpu')?.resource?.current;
    if (status !== undefined) {
      if (current?.averageUtilization !== undefined)
        status.currentCPUUtilizationPercentage = current.averageUtilization;
      delete status.currentMetrics;
      delete status.conditions;
    }
    return object;
  },
};

const views: readonly VersionView[] = [eventsView, autoscalersView];

/** The view that serves a resource; undefined: it is stored as it is served. */
export function viewOf(resource: Resource): VersionView | undefined {
  return views.find((each) => each.served === resource);
}

/** Bytes of a stored object as the view shows it. */
export function viewBytes(view: VersionView, bytes: Buffer): Buffer {
  return Buffer.from(JSON.stringify(view.fromStored(JSON.parse(bytes.toString()) as UnstructuredObject)));
}

/** Frames of a watch through the view. */
export function viewEncoder(view: VersionView): FrameEncoder {
  return {
    key: `version ${view.served.group}/${view.served.version}`,
    encode: (type, object) =>
      Buffer.concat([Buffer.from(frameHead(type)), viewBytes(view, object.bytes), Buffer.from('}\n')]),
  };
}
