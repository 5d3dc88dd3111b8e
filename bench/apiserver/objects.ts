/** What is written and read: a Pod as a Deployment makes them, what a kubelet says about it, a ConfigMap of 1 KB. */

export const NAMESPACE = 'default';

/** In names and texts of wrk's requests: eight digits of the turn, and of a count that goes on (requests.lua). */
export const TURN = '@@@@@@@@';
const COUNT = '########';

const uid = '5e2fae5b-5c6c-4d8c-9a0e-6d2b5f2a7c11';

function probe(path: string, periodSeconds: number): object {
  return { httpGet: { path, port: 'http', scheme: 'HTTP' }, initialDelaySeconds: 3, periodSeconds, timeoutSeconds: 2 };
}

/** A Pod of a ReplicaSet. */
export function pod(name: string): object {
  const labels = { app: 'web', 'app.kubernetes.io/name': 'web', tier: 'frontend', 'pod-template-hash': '6d4cf56db6' };
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name,
      namespace: NAMESPACE,
      generateName: 'web-6d4cf56db6-',
      labels,
      annotations: { 'prometheus.io/scrape': 'true', 'prometheus.io/port': '8080' },
      ownerReferences: [
        {
          apiVersion: 'apps/v1',
          kind: 'ReplicaSet',
          name: 'web-6d4cf56db6',
          uid,
          controller: true,
          blockOwnerDeletion: true,
        },
      ],
    },
    spec: {
      containers: [
        {
          name: 'web',
          image: 'registry.example/web:1.19.6',
          ports: [{ name: 'http', containerPort: 8080, protocol: 'TCP' }],
          env: [
            { name: 'LOG_LEVEL', value: 'info' },
            { name: 'DATABASE_HOST', value: 'database.default.svc.cluster.local' },
            { name: 'POD_NAME', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
            { name: 'DATABASE_PASSWORD', valueFrom: { secretKeyRef: { name: 'database', key: 'password' } } },
          ],
          resources: { requests: { cpu: '100m', memory: '128Mi' }, limits: { cpu: '500m', memory: '256Mi' } },
          livenessProbe: probe('/healthz', 10),
          readinessProbe: probe('/ready', 5),
          volumeMounts: [
            { name: 'config', mountPath: '/etc/web', readOnly: true },
            { name: 'cache', mountPath: '/var/cache/web' },
          ],
          securityContext: { allowPrivilegeEscalation: false, runAsNonRoot: true, runAsUser: 1000 },
        },
      ],
      volumes: [
        { name: 'config', configMap: { name: 'web-config' } },
        { name: 'cache', emptyDir: { sizeLimit: '64Mi' } },
      ],
      restartPolicy: 'Always',
      terminationGracePeriodSeconds: 30,
      dnsPolicy: 'ClusterFirst',
      tolerations: [
        { key: 'node.kubernetes.io/not-ready', operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 300 },
        { key: 'node.kubernetes.io/unreachable', operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 300 },
      ],
    },
  };
}

/** A kubelet's patch of a Pod's status; the counted address makes each patch change something. */
export function statusPatch(): object {
  const at = '2026-01-01T00:00:00Z';
  const types = ['Initialized', 'Ready', 'ContainersReady', 'PodScheduled'];
  return {
    status: {
      '$setElementOrder/conditions': types.map((type) => ({ type })),
      conditions: types.map((type) => ({ type, status: 'True', lastProbeTime: null, lastTransitionTime: at })),
      containerStatuses: [
        {
          name: 'web',
          image: 'registry.example/web:1.19.6',
          imageID: 'registry.example/web@sha256:4cf620a5c81390ee209398ecc18e5fb9dd0f5155cd82adcbae532fec94006fb9',
          containerID: `containerd://${COUNT}`,
          ready: true,
          started: true,
          restartCount: 0,
          state: { running: { startedAt: at } },
          lastState: {},
        },
      ],
      phase: 'Running',
      hostIP: '10.1.0.7',
      podIP: '10.244.3.17',
      podIPs: [{ ip: '10.244.3.17' }],
      startTime: at,
    },
  };
}

/** Of 1 KB. */
export function configMap(name: string): object {
  const line = 'some.setting=some value of it\n';
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name, namespace: NAMESPACE, labels: { app: 'web' } },
    data: { 'settings.properties': line.repeat(Math.ceil(900 / line.length)) },
  };
}
