import {
  conversionOf,
  events,
  eventsEvents,
  horizontalPodAutoscalers,
  horizontalPodAutoscalersV1,
  pods,
  type UnstructuredObject,
  validateSchema,
} from '@naru/api';
import t from 'tap';

await t.test('kinds with one shape are stored as they are', (t) => {
  t.equal(conversionOf(pods), undefined);
  t.equal(conversionOf(events), undefined);
  t.equal(conversionOf(horizontalPodAutoscalers), undefined);
  t.end();
});

await t.test('events of events.k8s.io are stored as core events', (t) => {
  const conversion = conversionOf(eventsEvents);
  const event: UnstructuredObject = {
    apiVersion: 'events.k8s.io/v1',
    kind: 'Event',
    metadata: { name: 'e', namespace: 'default' },
    eventTime: '2024-01-02T03:04:05.000000Z',
    regarding: { kind: 'Pod', name: 'p' },
    related: { kind: 'Node', name: 'n' },
    note: 'it happened',
    reason: 'Happened',
    type: 'Normal',
    action: 'Binding',
    reportingController: 'c',
    reportingInstance: 'c-1',
    deprecatedSource: { component: 'c' },
    deprecatedFirstTimestamp: '2024-01-02T03:04:05Z',
    deprecatedLastTimestamp: '2024-01-02T03:04:05Z',
    deprecatedCount: 2,
  };
  const stored = conversion?.toHub(event);
  t.equal(conversion?.hub, events);
  t.match(stored, {
    apiVersion: 'v1',
    kind: 'Event',
    involvedObject: { kind: 'Pod', name: 'p' },
    message: 'it happened',
    source: { component: 'c' },
    count: 2,
    reportingComponent: 'c',
    reportingInstance: 'c-1',
  });
  t.strictSame(stored === undefined ? undefined : conversion?.fromHub(stored), event);
  t.strictSame(validateSchema('CoreV1Event', structuredClone(stored)).unknownFields, []);
  t.end();
});

const autoscaler: UnstructuredObject = {
  apiVersion: 'autoscaling/v2',
  kind: 'HorizontalPodAutoscaler',
  metadata: { name: 'h', annotations: { mine: 'stays' } },
  spec: {
    scaleTargetRef: { kind: 'Deployment', name: 'web' },
    maxReplicas: 5,
    metrics: [
      { type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 50 } } },
      { type: 'Resource', resource: { name: 'memory', target: { type: 'AverageValue', averageValue: '1Gi' } } },
      {
        type: 'Pods',
        pods: {
          metric: { name: 'rps', selector: { matchLabels: { a: 'b' } } },
          target: { type: 'AverageValue', averageValue: '10' },
        },
      },
      {
        type: 'Object',
        object: {
          describedObject: { kind: 'Ingress', name: 'i' },
          metric: { name: 'hits' },
          target: { type: 'Value', value: '100' },
        },
      },
      {
        type: 'External',
        external: { metric: { name: 'queue' }, target: { type: 'AverageValue', averageValue: '30' } },
      },
      {
        type: 'ContainerResource',
        containerResource: { name: 'cpu', container: 'c', target: { type: 'Utilization', averageUtilization: 60 } },
      },
    ],
    behavior: { scaleDown: { stabilizationWindowSeconds: 60 } },
  },
  status: {
    currentReplicas: 1,
    desiredReplicas: 2,
    currentMetrics: [
      { type: 'Resource', resource: { name: 'cpu', current: { averageUtilization: 70, averageValue: '70m' } } },
    ],
    conditions: [{ type: 'AbleToScale', status: 'True' }],
  },
};

await t.test('autoscalers of autoscaling/v1 keep in annotations what only v2 says', (t) => {
  const conversion = conversionOf(horizontalPodAutoscalersV1);
  const v1 = conversion?.fromHub(autoscaler);
  t.match(v1, {
    apiVersion: 'autoscaling/v1',
    metadata: { annotations: { mine: 'stays' } },
    spec: { scaleTargetRef: { name: 'web' }, maxReplicas: 5, targetCPUUtilizationPercentage: 50 },
    status: { currentReplicas: 1, desiredReplicas: 2, currentCPUUtilizationPercentage: 70 },
  });
  t.strictSame(JSON.parse(v1?.metadata.annotations?.['autoscaling.alpha.kubernetes.io/metrics'] ?? '')[0], {
    type: 'Resource',
    resource: { name: 'memory', targetAverageValue: '1Gi' },
  });
  t.strictSame(validateSchema('V1HorizontalPodAutoscaler', structuredClone(v1)).unknownFields, []);
  const back = v1 === undefined ? undefined : conversion?.toHub(v1);
  t.strictSame(back?.['spec'], autoscaler['spec']);
  t.strictSame(back?.metadata, autoscaler.metadata);
  t.match(back?.['status'], { conditions: [{ type: 'AbleToScale', status: 'True' }] });
  t.strictSame(
    conversion?.toHub({
      apiVersion: 'autoscaling/v1',
      kind: 'HorizontalPodAutoscaler',
      metadata: { name: 'h', annotations: { 'autoscaling.alpha.kubernetes.io/metrics': 'no JSON' } },
      spec: { maxReplicas: 1 },
    }),
    {
      apiVersion: 'autoscaling/v2',
      kind: 'HorizontalPodAutoscaler',
      metadata: { name: 'h' },
      spec: { maxReplicas: 1 },
    },
  );
  t.end();
});
