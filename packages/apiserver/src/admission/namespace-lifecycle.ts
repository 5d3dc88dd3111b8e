import { newForbidden, newNotFound, newStatusError, namespaces, type Namespace } from '@naru/api';
import type { AdmissionAttributes, AdmissionPlugin, AdmissionStore } from './admission.ts';

const immortalNamespaces = ['default', 'kube-system', 'kube-public'];

/** Resources that may be created in any namespace, existing or not. */
const accessReviews = ['localsubjectaccessreviews'];

/** Nothing is created in a namespace that is missing or being deleted; some namespaces cannot be deleted. */
export const namespaceLifecycle: AdmissionPlugin = {
  name: 'NamespaceLifecycle',
  handles: (operation) => operation === 'CREATE' || operation === 'UPDATE' || operation === 'DELETE',

  async admit(attributes, store) {
    const { operation, resource } = attributes;
    if (resource.group === '' && resource.resource === 'namespaces') {
      if (operation === 'DELETE' && immortalNamespaces.includes(attributes.name))
        throw newForbidden(resource, attributes.name, 'this namespace may not be deleted');
      return;
    }
    if (!resource.namespaced || attributes.namespace === '') return;
    if (operation === 'DELETE' || accessReviews.includes(resource.resource)) return;
    const namespace = await findNamespace(attributes, store);
    if (operation === 'CREATE' && isTerminating(namespace)) throw newTerminating(attributes);
  },
};

async function findNamespace({ namespace }: AdmissionAttributes, store: AdmissionStore): Promise<Namespace> {
  const cached = store.get(namespaces, '', namespace);
  if (cached !== undefined) return cached;
  // The cache may lag behind a namespace that was created a moment ago.
  const stored = await store.getConsistent(namespaces, '', namespace);
  if (stored === undefined) throw newNotFound({ group: '', resource: 'namespaces' }, namespace);
  return stored;
}

function isTerminating(namespace: Namespace): boolean {
  return namespace.status?.phase === 'Terminating' || namespace.metadata.deletionTimestamp !== undefined;
}

function newTerminating({ resource, name, object, namespace }: AdmissionAttributes): Error {
  const objectName = name === '' ? (object?.metadata.name ?? '') : name;
  const why = `unable to create new content in namespace ${namespace} because it is being terminated`;
  const { status } = newForbidden(resource, objectName, why);
  return newStatusError('Forbidden', status.message ?? why, {
    ...status.details,
    causes: [
      {
        reason: 'NamespaceTerminating',
        message: `namespace ${namespace} is being terminated`,
        field: 'metadata.namespace',
      },
    ],
  });
}
