/** Who owns what in lists by key, atomic lists and deep structs of kinds beyond those of apply-requests.ts. */
import { APPLY_NAMESPACE } from './apply-requests.ts';
import type { CorpusRequest, Json } from './request.ts';

interface Place {
  readonly apiVersion: string;
  readonly kind: string;
  readonly resource: string;
  readonly isClusterScoped?: true;
}

const jsonPatch = 'application/json-patch+json';
const strategic = 'application/strategic-merge-patch+json';

/** One object: who applies and patches it, in turn. */
class ObjectRequests {
  readonly requests: CorpusRequest[] = [];
  readonly #place: Place;
  readonly #path: string;

  constructor(place: Place) {
    const { apiVersion, resource, isClusterScoped } = place;
    const root = apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
    this.#place = place;
    this.#path = `${root}${isClusterScoped === true ? '' : `/namespaces/${APPLY_NAMESPACE}`}/${resource}/owned`;
  }

  apply(what: string, manager: string, fields: Json, subresource = ''): this {
    const { apiVersion, kind } = this.#place;
    const body = { apiVersion, kind, metadata: { name: 'owned' }, ...fields };
    return this.#add(what, { manager, type: 'application/apply-patch+yaml', body, subresource });
  }

  patch(what: string, manager: string, body: unknown, type = 'application/merge-patch+json'): this {
    return this.#add(what, { manager, type, body, subresource: '' });
  }

  #add(
    what: string,
    request: { readonly manager: string; readonly type: string; readonly body: unknown; readonly subresource: string },
  ): this {
    const { manager, type, body, subresource } = request;
    this.requests.push({
      name: `owned ${this.#place.resource}: ${what}`,
      method: 'PATCH',
      path: `${this.#path}${subresource}?fieldManager=${manager}`,
      type,
      body,
    });
    return this;
  }
}

const hook = (name: string, more: Json = {}): Json => ({
  name,
  clientConfig: { url: 'https://a.example.com' },
  sideEffects: 'None',
  admissionReviewVersions: ['v1'],
  ...more,
});
const rule = { operations: ['CREATE'], apiGroups: [''], apiVersions: ['v1'], resources: ['pods'] };
const webhooks = new ObjectRequests({
  apiVersion: 'admissionregistration.k8s.io/v1',
  kind: 'ValidatingWebhookConfiguration',
  resource: 'validatingwebhookconfigurations',
  isClusterScoped: true,
})
  // In the end there are none: they would be called for pods, at an address where nobody is.
  .apply('one applies a webhook', 'one', { webhooks: [hook('a.example.com')] })
  .apply('two applies another', 'two', { webhooks: [hook('b.example.com', { rules: [rule] })] })
  .apply('two is in the way of one', 'two', { webhooks: [hook('a.example.com', { sideEffects: 'NoneOnDryRun' })] })
  .apply('one applies less', 'one', { webhooks: [hook('a.example.com', { failurePolicy: 'Ignore' })] })
  .apply('one applies none', 'one', { webhooks: [] })
  .patch('an update replaces them', 'three', { webhooks: [hook('b.example.com', { timeoutSeconds: 3 })] })
  .patch('a patch adds one', 'three', [{ op: 'add', path: '/webhooks/-', value: hook('c.example.com') }], jsonPatch)
  .patch('a patch removes all', 'three', { webhooks: null });

const drivers = new ObjectRequests({
  apiVersion: 'storage.k8s.io/v1',
  kind: 'CSINode',
  resource: 'csinodes',
  isClusterScoped: true,
})
  .apply('one applies a driver', 'one', { spec: { drivers: [{ name: 'x.example.com', nodeID: 'n' }] } })
  .apply('two applies another', 'two', {
    spec: { drivers: [{ name: 'y.example.com', nodeID: 'n', topologyKeys: ['k'] }] },
  })
  .apply('two is in the way of one', 'two', { spec: { drivers: [{ name: 'x.example.com', nodeID: 'm' }] } });

const size = (storage: string, more: Json = {}): Json => ({ spec: { ...more, resources: { requests: { storage } } } });
const time = '2020-01-01T00:00:00Z';
const claim = new ObjectRequests({
  apiVersion: 'v1',
  kind: 'PersistentVolumeClaim',
  resource: 'persistentvolumeclaims',
})
  .apply('one applies it', 'one', size('1024Mi', { accessModes: ['ReadWriteOnce'] }))
  .apply('two writes the size otherwise', 'two', size('1Gi'))
  .apply(
    'its status',
    'controller',
    {
      status: {
        phase: 'Bound',
        accessModes: ['ReadWriteOnce'],
        capacity: { storage: '1Gi' },
        conditions: [{ type: 'Resizing', status: 'True', lastTransitionTime: time, lastProbeTime: time }],
      },
    },
    '/status',
  );

const scaleTargetRef = { kind: 'Deployment', name: 'd', apiVersion: 'apps/v1' };
const scaler = new ObjectRequests({
  apiVersion: 'autoscaling/v1',
  kind: 'HorizontalPodAutoscaler',
  resource: 'horizontalpodautoscalers',
})
  .apply('one applies it', 'one', { spec: { maxReplicas: 3, scaleTargetRef } })
  .apply('two shares', 'two', { spec: { minReplicas: 1, maxReplicas: 3 } })
  .apply('two is in the way of one', 'two', { spec: { minReplicas: 2, maxReplicas: 4 } });

const pod = (spec: Json): Json => ({ spec: { template: { spec } } });
const labels = { a: 'b' };
const workload = new ObjectRequests({ apiVersion: 'apps/v1', kind: 'Deployment', resource: 'deployments' })
  .apply('one applies it', 'one', {
    spec: {
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec: { containers: [{ name: 'a', image: 'i' }] } },
    },
  })
  .apply('two says how it is updated', 'two', { spec: { strategy: { rollingUpdate: { maxUnavailable: '10%' } } } })
  .apply('three says otherwise', 'three', { spec: { strategy: { rollingUpdate: { maxUnavailable: 2 } } } })
  .patch('a patch adds a container', 'four', pod({ containers: [{ name: 'b', image: 'j' }] }), strategic)
  .patch('a patch deletes a container', 'four', pod({ containers: [{ name: 'a', $patch: 'delete' }] }), strategic)
  .patch(
    'an update with much in it',
    'four',
    pod({
      containers: [
        {
          name: 'b',
          image: 'j',
          env: [
            { name: 'X', value: '1' },
            { name: 'Y', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
          ],
          livenessProbe: { exec: { command: ['a'] } },
          lifecycle: { preStop: { exec: { command: ['b'] } } },
          securityContext: { capabilities: { add: ['A'] } },
        },
      ],
    }),
  )
  .patch(
    'an update with less',
    'five',
    pod({ containers: [{ name: 'b', image: 'j', env: [{ name: 'X', value: '2' }] }] }),
  )
  .patch(
    'an update of the pod',
    'five',
    pod({
      affinity: {
        nodeAffinity: {
          requiredDuringSchedulingIgnoredDuringExecution: {
            nodeSelectorTerms: [{ matchExpressions: [{ key: 'k', operator: 'Exists' }] }],
          },
        },
      },
      topologySpreadConstraints: [{ maxSkew: 1, topologyKey: 'z', whenUnsatisfiable: 'DoNotSchedule' }],
      dnsConfig: { nameservers: ['1.1.1.1'], options: [{ name: 'n' }] },
      securityContext: { sysctls: [{ name: 's', value: '1' }] },
      volumes: [
        { name: 'p', projected: { sources: [{ configMap: { name: 'c', items: [{ key: 'k', path: 'p' }] } }] } },
        { name: 'q', hostPath: { path: '/x' } },
        { name: 'r', secret: { secretName: 's' } },
      ],
    }),
  )
  .patch(
    'another of the pod',
    'six',
    pod({
      volumes: [{ name: 'q', hostPath: { path: '/y' } }],
      securityContext: null,
      affinity: {
        podAntiAffinity: {
          preferredDuringSchedulingIgnoredDuringExecution: [{ weight: 1, podAffinityTerm: { topologyKey: 'k' } }],
        },
      },
    }),
  );

export const ownershipRequests: readonly CorpusRequest[] = [webhooks, drivers, claim, scaler, workload].flatMap(
  ({ requests }) => requests,
);
