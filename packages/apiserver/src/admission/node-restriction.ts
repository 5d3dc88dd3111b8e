import { pods, type Node, type Pod } from '@naru/api';
import { nodeNameOf } from '../authorization/node-authorizer.ts';
import type { AdmissionAttributes, AdmissionPlugin, AdmissionStore } from './admission.ts';
import { refuse } from './refusal.ts';

const mirrorAnnotation = 'kubernetes.io/config.mirror';

/** Labels of the reserved domains that a kubelet may set on its own node. */
const ownLabels: ReadonlySet<string> = new Set([
  'kubernetes.io/hostname',
  'topology.kubernetes.io/zone',
  'topology.kubernetes.io/region',
  'failure-domain.beta.kubernetes.io/zone',
  'failure-domain.beta.kubernetes.io/region',
  'node.kubernetes.io/instance-type',
  'beta.kubernetes.io/instance-type',
  'kubernetes.io/os',
  'kubernetes.io/arch',
  'beta.kubernetes.io/os',
  'beta.kubernetes.io/arch',
]);

function isRestrictedLabel(label: string): boolean {
  const [domain = ''] = label.includes('/') ? label.split('/', 1) : [''];
  const inDomain = (parent: string): boolean => domain === parent || domain.endsWith(`.${parent}`);
  if (inDomain('node-restriction.kubernetes.io')) return true;
  if (!inDomain('kubernetes.io') && !inDomain('k8s.io')) return false;
  return !ownLabels.has(label) && !inDomain('kubelet.kubernetes.io') && !inDomain('node.kubernetes.io');
}

/** What authorization cannot see: a kubelet changes its own node, its own pods and nothing else of them. */
export const nodeRestriction: AdmissionPlugin = {
  name: 'NodeRestriction',
  handles: (operation, resource) =>
    operation !== 'CONNECT' &&
    (resource.group === '' || resource.group === 'coordination.k8s.io' || resource.group === 'storage.k8s.io'),
  validate(attributes, store) {
    const isNode = attributes.user.groups.includes('system:nodes') && attributes.user.name.startsWith('system:node:');
    if (!isNode) return;
    const node = nodeNameOf(attributes.user);
    if (node === undefined)
      throw refuse(attributes, `could not determine node from user ${JSON.stringify(attributes.user.name)}`);
    switch (attributes.resource.resource) {
      case 'pods':
        restrictPods(attributes, node, store);
        break;
      case 'nodes':
        restrictNodes(attributes, node);
        break;
      case 'serviceaccounts':
        if (attributes.subresource === 'token') restrictTokens(attributes, node, store);
        break;
      case 'leases':
        restrictLeases(attributes, node);
        break;
      default:
    }
  },
};

function restrictPods(attributes: AdmissionAttributes, node: string, store: AdmissionStore): void {
  const { operation, subresource } = attributes;
  const quoted = JSON.stringify(node);
  if (subresource === '' && operation === 'CREATE') {
    restrictMirrorPod(attributes, node);
    return;
  }
  const stored = (attributes.oldObject as Pod | undefined) ?? store.get(pods, attributes.namespace, attributes.name);
  const isOwn = stored?.spec?.nodeName === node;
  if (subresource === '' && operation === 'DELETE') {
    if (stored !== undefined && !isOwn)
      throw refuse(attributes, `node ${quoted} can only delete pods with spec.nodeName set to itself`);
  } else if (subresource === 'status' && operation === 'UPDATE') {
    if (!isOwn)
      throw refuse(attributes, `node ${quoted} can only update pod status for pods with spec.nodeName set to itself`);
    const before = stored?.metadata.labels ?? {};
    const after = attributes.object?.metadata.labels ?? {};
    if (!sameLabels(before, after)) throw refuse(attributes, `node ${quoted} cannot update labels through pod status`);
  } else if (subresource === 'eviction' && operation === 'CREATE') {
    if (stored !== undefined && !isOwn)
      throw refuse(attributes, `node ${quoted} can only evict pods with spec.nodeName set to itself`);
  } else
    throw refuse(
      attributes,
      `unexpected operation ${JSON.stringify(operation)}, node ${quoted} can only create and delete mirror pods`,
    );
}

function restrictMirrorPod(attributes: AdmissionAttributes, node: string): void {
  const pod = attributes.object as Pod | undefined;
  const quoted = JSON.stringify(node);
  if (pod?.metadata.annotations?.[mirrorAnnotation] === undefined)
    throw refuse(
      attributes,
      `pod does not have ${JSON.stringify(mirrorAnnotation)} annotation, node ${quoted} can only create mirror pods`,
    );
  if (pod.spec?.nodeName !== node)
    throw refuse(attributes, `node ${quoted} can only create pods with spec.nodeName set to itself`);
  if ((pod.spec.serviceAccountName ?? '') !== '')
    throw refuse(attributes, `node ${quoted} can not create pods that reference a service account`);
}

function sameLabels(a: Readonly<Record<string, string>>, b: Readonly<Record<string, string>>): boolean {
  const keys = new Set([...Object.keys(a), ...Object.keys(b)]);
  return [...keys].every((key) => a[key] === b[key]);
}

function restrictNodes(attributes: AdmissionAttributes, node: string): void {
  const { operation, object, oldObject } = attributes;
  const name = attributes.name === '' ? (object?.metadata.name ?? '') : attributes.name;
  const quoted = JSON.stringify(node);
  if (name !== node) throw refuse(attributes, `node ${quoted} is not allowed to modify node ${JSON.stringify(name)}`);
  if (operation === 'DELETE' || object === undefined) return;
  const labels = object.metadata.labels ?? {};
  if (operation === 'CREATE') {
    const forbidden = Object.keys(labels).filter(isRestrictedLabel).toSorted();
    if (forbidden.length > 0)
      throw refuse(attributes, `node ${quoted} is not allowed to set the following labels: ${forbidden.join(', ')}`);
    return;
  }
  const before = oldObject?.metadata.labels ?? {};
  const changed = [...new Set([...Object.keys(labels), ...Object.keys(before)])]
    .filter((key) => labels[key] !== before[key] && isRestrictedLabel(key))
    .toSorted();
  if (changed.length > 0) throw refuse(attributes, `is not allowed to modify labels: ${changed.join(', ')}`);
  const taintsOf = (value: unknown): string => JSON.stringify((value as Node | undefined)?.spec?.taints ?? []);
  if (taintsOf(object) !== taintsOf(oldObject))
    throw refuse(attributes, `node ${quoted} is not allowed to modify taints`);
}

function restrictTokens(attributes: AdmissionAttributes, node: string, store: AdmissionStore): void {
  const request = attributes.object as
    { spec?: { boundObjectRef?: { kind?: string; apiVersion?: string; name?: string; uid?: string } } } | undefined;
  const reference = request?.spec?.boundObjectRef;
  if (reference?.kind !== 'Pod' || reference.apiVersion !== 'v1' || (reference.name ?? '') === '')
    throw refuse(attributes, 'node requested token not bound to a pod');
  if ((reference.uid ?? '') === '') throw refuse(attributes, 'node requested token with a pod binding without a uid');
  const pod = store.get(pods, attributes.namespace, reference.name ?? '');
  if (pod === undefined) throw refuse(attributes, `pod ${JSON.stringify(reference.name)} not found`);
  if (pod.metadata.uid !== reference.uid)
    throw refuse(
      attributes,
      `the UID in the bound object reference (${reference.uid ?? ''}) does not match the UID in record (${pod.metadata.uid ?? ''}). The object might have been deleted and then recreated`,
    );
  if (pod.spec?.nodeName !== node)
    throw refuse(attributes, 'node requested token bound to a pod scheduled on a different node');
}

function restrictLeases(attributes: AdmissionAttributes, node: string): void {
  if (attributes.namespace !== 'kube-node-lease')
    throw refuse(attributes, 'can only access leases in the "kube-node-lease" system namespace');
  const name = attributes.name === '' ? (attributes.object?.metadata.name ?? '') : attributes.name;
  if (name !== node) throw refuse(attributes, 'can only access node lease with the same name as the requesting node');
}
