/**
 * Kinds that are served in two shapes out of one stored object: events of core and of events.k8s.io, and
 * HorizontalPodAutoscalers of autoscaling/v2 and v1. Field names and annotations are upstream's.
 */
import { autoscalerFromHub, autoscalerToHub } from './convert-autoscaler.ts';
import type { UnstructuredObject } from './object.ts';
import { apiVersionOf, type Resource } from './resource.ts';
import { events, eventsEvents, horizontalPodAutoscalers, horizontalPodAutoscalersV1 } from './resources.ts';

export interface Conversion {
  /** The resource in whose shape the objects are stored. */
  readonly hub: Resource;
  /** The object in the stored shape. The argument is not changed. */
  toHub(object: UnstructuredObject): UnstructuredObject;
  /** A stored object in this resource's shape. The argument is not changed. */
  fromHub(object: UnstructuredObject): UnstructuredObject;
  /** The stored shape's name of a field that a field selector names in this one; undefined: it cannot be selected by. */
  hubField?(field: string): string | undefined;
}

/** Fields of a core Event and what events.k8s.io calls them; the others have the same name. */
const eventFields: readonly (readonly [core: string, events: string])[] = [
  ['involvedObject', 'regarding'],
  ['message', 'note'],
  ['source', 'deprecatedSource'],
  ['firstTimestamp', 'deprecatedFirstTimestamp'],
  ['lastTimestamp', 'deprecatedLastTimestamp'],
  ['count', 'deprecatedCount'],
  ['reportingComponent', 'reportingController'],
];
const eventsName = new Map(eventFields);
const coreName = new Map(eventFields.map(([core, name]) => [name, core]));

/** Where the fields are that events.k8s.io selects by, and where in a core Event. */
const eventSelectors: ReadonlyMap<string, string> = new Map([
  ['metadata', 'metadata'],
  ['reason', 'reason'],
  ['regarding', 'involvedObject'],
  ['reportingController', 'reportingComponent'],
  ['type', 'type'],
]);

function coreEventField(field: string): string | undefined {
  const [first = '', ...rest] = field.split('.');
  const core = eventSelectors.get(first);
  return core === undefined ? undefined : [core, ...rest].join('.');
}

function rename(object: UnstructuredObject, names: ReadonlyMap<string, string>, to: Resource): UnstructuredObject {
  const entries = Object.entries(object).map(([key, value]) => [names.get(key) ?? key, value] as const);
  return { ...(Object.fromEntries(entries) as UnstructuredObject), apiVersion: apiVersionOf(to), kind: to.kind };
}

const conversions: ReadonlyMap<Resource, Conversion> = new Map<Resource, Conversion>([
  [
    eventsEvents,
    {
      hub: events,
      toHub: (object) => rename(object, coreName, events),
      fromHub: (object) => rename(object, eventsName, eventsEvents),
      hubField: coreEventField,
    },
  ],
  [horizontalPodAutoscalersV1, { hub: horizontalPodAutoscalers, toHub: autoscalerToHub, fromHub: autoscalerFromHub }],
]);

/** How objects of this resource are stored in another's shape; undefined where they are stored as they are. */
export function conversionOf(resource: Resource): Conversion | undefined {
  return conversions.get(resource);
}
