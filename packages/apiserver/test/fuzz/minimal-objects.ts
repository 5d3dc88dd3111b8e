/** The least that each built-in kind's strategy takes: random fields are laid over it, so that much of it is accepted. */
import { apiVersionOf, type Resource } from '@naru/api';

type Fields = Readonly<Record<string, unknown>>;

const container = { name: 'c', image: 'i' };
const podSpec = { containers: [container] };
const labels = { app: 'a' };
const selector = { matchLabels: labels };
const template = { metadata: { labels }, spec: podSpec };
const jobTemplate = { spec: { ...podSpec, restartPolicy: 'Never' } };
const role = { apiGroup: 'rbac.authorization.k8s.io', name: 'view' };
const scaleTargetRef = { apiVersion: 'apps/v1', kind: 'Deployment', name: 'd' };
const matchConstraints = {
  resourceRules: [{ apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE'], resources: ['pods'] }],
};
const webhook = {
  name: 'w.example.com',
  clientConfig: { url: 'https://example.com/w' },
  admissionReviewVersions: ['v1'],
  sideEffects: 'None',
};
const paramRef = { name: 'p', parameterNotFoundAction: 'Deny' };
const deviceRequests = { devices: { requests: [{ name: 'r', exactly: { deviceClassName: 'c' } }] } };
const event = {
  involvedObject: { kind: 'Pod', name: 'p', namespace: 'NAMESPACE' },
  regarding: { kind: 'Pod', name: 'p', namespace: 'NAMESPACE' },
};

/** By `resource.group/version`, without apiVersion, kind and the object's name. */
const minimal: Readonly<Record<string, Fields>> = {
  'configmaps./v1': {},
  'endpoints./v1': {},
  'events./v1': { involvedObject: event.involvedObject },
  'limitranges./v1': { spec: { limits: [{ type: 'Container' }] } },
  'namespaces./v1': {},
  'nodes./v1': {},
  'persistentvolumeclaims./v1': {
    spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
  },
  'persistentvolumes./v1': {
    spec: { accessModes: ['ReadWriteOnce'], capacity: { storage: '1Gi' }, hostPath: { path: '/a' } },
  },
  'pods./v1': { spec: podSpec },
  'podtemplates./v1': { template },
  'replicationcontrollers./v1': { spec: { selector: labels, template } },
  'resourcequotas./v1': { spec: { hard: { pods: '10' } } },
  'secrets./v1': {},
  'serviceaccounts./v1': {},
  'services./v1': { spec: { ports: [{ port: 80 }] } },
  'mutatingadmissionpolicies.admissionregistration.k8s.io/v1': {
    spec: {
      matchConstraints,
      reinvocationPolicy: 'Never',
      mutations: [{ patchType: 'ApplyConfiguration', applyConfiguration: { expression: 'Object{}' } }],
    },
  },
  'mutatingadmissionpolicybindings.admissionregistration.k8s.io/v1': { spec: { policyName: 'p', paramRef } },
  'mutatingwebhookconfigurations.admissionregistration.k8s.io/v1': { webhooks: [webhook] },
  'validatingadmissionpolicies.admissionregistration.k8s.io/v1': {
    spec: { matchConstraints, validations: [{ expression: 'true' }] },
  },
  'validatingadmissionpolicybindings.admissionregistration.k8s.io/v1': {
    spec: { policyName: 'p', validationActions: ['Deny'], paramRef },
  },
  'validatingwebhookconfigurations.admissionregistration.k8s.io/v1': { webhooks: [webhook] },
  'customresourcedefinitions.apiextensions.k8s.io/v1': {
    metadata: { name: 'NAMEs.example.com' },
    spec: {
      group: 'example.com',
      scope: 'Namespaced',
      names: { plural: 'NAMEs', kind: 'KNAME' },
      versions: [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: { type: 'object' } } }],
    },
  },
  'apiservices.apiregistration.k8s.io/v1': {
    metadata: { name: 'v1.NAME.example.com' },
    spec: {
      group: 'NAME.example.com',
      version: 'v1',
      groupPriorityMinimum: 100,
      versionPriority: 10,
      insecureSkipTLSVerify: true,
      service: { namespace: 'default', name: 'extension' },
    },
  },
  'controllerrevisions.apps/v1': { revision: 1, data: { a: 1 } },
  'daemonsets.apps/v1': { spec: { selector, template } },
  'deployments.apps/v1': { spec: { selector, template } },
  'replicasets.apps/v1': { spec: { selector, template } },
  'statefulsets.apps/v1': { spec: { selector, template, serviceName: 's' } },
  'horizontalpodautoscalers.autoscaling/v2': { spec: { scaleTargetRef, maxReplicas: 3 } },
  'horizontalpodautoscalers.autoscaling/v1': { spec: { scaleTargetRef, maxReplicas: 3 } },
  'cronjobs.batch/v1': { spec: { schedule: '0 * * * *', jobTemplate: { spec: { template: jobTemplate } } } },
  'jobs.batch/v1': { spec: { template: jobTemplate } },
  'certificatesigningrequests.certificates.k8s.io/v1': {
    spec: { signerName: 'example.com/s', usages: ['client auth'], request: 'CSR' },
  },
  'leases.coordination.k8s.io/v1': { spec: { holderIdentity: 'h', leaseDurationSeconds: 15 } },
  'endpointslices.discovery.k8s.io/v1': {
    addressType: 'IPv4',
    endpoints: [{ addresses: ['10.1.2.3'] }],
    ports: [{ port: 80 }],
  },
  'events.events.k8s.io/v1': {
    eventTime: '2026-01-01T00:00:00.000000Z',
    regarding: event.regarding,
    reportingController: 'example.com/c',
    reportingInstance: 'i',
    action: 'a',
    reason: 'r',
    type: 'Normal',
  },
  'flowschemas.flowcontrol.apiserver.k8s.io/v1': {
    spec: { priorityLevelConfiguration: { name: 'global-default' }, matchingPrecedence: 1000 },
  },
  'prioritylevelconfigurations.flowcontrol.apiserver.k8s.io/v1': {
    spec: { type: 'Limited', limited: { nominalConcurrencyShares: 5, limitResponse: { type: 'Reject' } } },
  },
  'ingressclasses.networking.k8s.io/v1': { spec: { controller: 'example.com/c' } },
  'ingresses.networking.k8s.io/v1': { spec: { defaultBackend: { service: { name: 's', port: { number: 80 } } } } },
  'ipaddresses.networking.k8s.io/v1': {
    metadata: { name: '10.9.BYTE.BYTE' },
    spec: { parentRef: { resource: 'services', namespace: 'default', name: 's' } },
  },
  'networkpolicies.networking.k8s.io/v1': { spec: { podSelector: {} } },
  'servicecidrs.networking.k8s.io/v1': { spec: { cidrs: ['10.8.0.0/16'] } },
  'runtimeclasses.node.k8s.io/v1': { handler: 'h' },
  'poddisruptionbudgets.policy/v1': { spec: { minAvailable: 1, selector } },
  'clusterrolebindings.rbac.authorization.k8s.io/v1': {
    roleRef: { ...role, kind: 'ClusterRole' },
    subjects: [{ kind: 'User', name: 'u', apiGroup: role.apiGroup }],
  },
  'clusterroles.rbac.authorization.k8s.io/v1': { rules: [{ apiGroups: [''], resources: ['pods'], verbs: ['get'] }] },
  'rolebindings.rbac.authorization.k8s.io/v1': { roleRef: { ...role, kind: 'Role' } },
  'roles.rbac.authorization.k8s.io/v1': { rules: [{ apiGroups: [''], resources: ['pods'], verbs: ['get'] }] },
  'deviceclasses.resource.k8s.io/v1': { spec: {} },
  'resourceclaims.resource.k8s.io/v1': { spec: deviceRequests },
  'resourceclaimtemplates.resource.k8s.io/v1': { spec: { spec: deviceRequests } },
  'resourceslices.resource.k8s.io/v1': {
    spec: { driver: 'd.example.com', pool: { name: 'p', generation: 1, resourceSliceCount: 1 }, nodeName: 'n' },
  },
  'priorityclasses.scheduling.k8s.io/v1': { value: 10 },
  'csidrivers.storage.k8s.io/v1': { spec: {} },
  'csinodes.storage.k8s.io/v1': { spec: { drivers: [{ name: 'd.example.com', nodeID: 'n' }] } },
  'csistoragecapacities.storage.k8s.io/v1': { storageClassName: 's', capacity: '1Gi' },
  'storageclasses.storage.k8s.io/v1': { provisioner: 'example.com/p' },
  'volumeattachments.storage.k8s.io/v1': {
    spec: { attacher: 'example.com', nodeName: 'n', source: { persistentVolumeName: 'p' } },
  },
  'volumeattributesclasses.storage.k8s.io/v1': { driverName: 'd.example.com', parameters: { a: 'b' } },
};

/** A certificate request that nobody has to make again. */
const certificateRequest = `-----BEGIN CERTIFICATE REQUEST-----
MIHIMHECAQAwDzENMAsGA1UEAwwEZnV6ejBZMBMGByqGSM49AgEGCCqGSM49AwEH
A0IABKNDXHYvKev8SQ0RoNT7J00noUTMCjzWBYNY2yifSGA3L0r0N4yiimLLDf2E
ezupfGcPdT6GaB9h329bOqcv0cWgADAKBggqhkjOPQQDAgNHADBEAiB7v7ozILhi
HV8cT8Agu0BrxXyJhjuV72Lvj7SHUhURcgIgFhmJ5o1Syfz9Y3if5FcNUA9wwN0g
Sk5q9De+buo/M3g=
-----END CERTIFICATE REQUEST-----
`;

/** Whether random objects of a resource can be made: it is stored, and written by clients. */
export function hasMinimalObject({ group, version, resource }: Resource): boolean {
  return `${resource}.${group}/${version}` in minimal;
}

/** A valid object; `number` makes its name, and what else must be unique, its own. */
export function minimalObject(resource: Resource, number: number, namespace: string): Record<string, unknown> {
  const name = `f${number}`;
  const fields = JSON.stringify(minimal[`${resource.resource}.${resource.group}/${resource.version}`])
    .replaceAll('"CSR"', () => JSON.stringify(Buffer.from(certificateRequest).toString('base64')))
    .replaceAll('BYTE.BYTE', `${(number >> 8) & 255}.${number & 255}`)
    .replaceAll('NAMESPACE', namespace)
    .replaceAll('NAME', name);
  const { metadata = {}, ...rest } = JSON.parse(fields) as Record<string, unknown>;
  return {
    apiVersion: apiVersionOf(resource),
    kind: resource.kind,
    metadata: { name, ...(resource.namespaced ? { namespace } : {}), ...(metadata as object) },
    ...rest,
  };
}
