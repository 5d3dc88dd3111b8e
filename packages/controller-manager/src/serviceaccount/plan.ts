/** What every namespace is given: the default ServiceAccount and the cluster's CA. */
import type { ConfigMap, Namespace, ServiceAccount } from '@naru/api';

export const DEFAULT_SERVICE_ACCOUNT = 'default';
export const ROOT_CA_CONFIG_MAP = 'kube-root-ca.crt';
const ROOT_CA_KEY = 'ca.crt';
const DESCRIPTION = 'kubernetes.io/description';
const DESCRIPTION_TEXT =
  'Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters.';

function isGoing({ metadata, status }: Namespace): boolean {
  return metadata.deletionTimestamp !== undefined || status?.phase === 'Terminating';
}

/** The ServiceAccount to create, if the namespace lacks it. */
export function planServiceAccount(
  namespace: Namespace | undefined,
  present: ServiceAccount | undefined,
): ServiceAccount | undefined {
  if (namespace === undefined || isGoing(namespace) || present !== undefined) return undefined;
  const metadata = { name: DEFAULT_SERVICE_ACCOUNT, namespace: namespace.metadata.name ?? '' };
  return { apiVersion: 'v1', kind: 'ServiceAccount', metadata };
}

export type RootCaPlan =
  { readonly type: 'none' } | { readonly type: 'create' | 'update'; readonly configMap: ConfigMap };

/** Publishes the CA in the namespace, and restores what somebody changed. */
export function planRootCa(
  namespace: Namespace | undefined,
  present: ConfigMap | undefined,
  rootCa: string,
): RootCaPlan {
  if (namespace === undefined || isGoing(namespace)) return { type: 'none' };
  const annotations = { [DESCRIPTION]: DESCRIPTION_TEXT };
  const data = { [ROOT_CA_KEY]: rootCa };
  if (present === undefined) {
    const metadata = { name: ROOT_CA_CONFIG_MAP, namespace: namespace.metadata.name ?? '', annotations };
    return { type: 'create', configMap: { apiVersion: 'v1', kind: 'ConfigMap', metadata, data } };
  }
  const keys = Object.keys(present.data ?? {});
  const right = keys.length === 1 && present.data?.[ROOT_CA_KEY] === rootCa;
  if (right && present.metadata.annotations?.[DESCRIPTION] !== undefined) return { type: 'none' };
  const metadata = { ...present.metadata, annotations: { ...present.metadata.annotations, ...annotations } };
  return { type: 'update', configMap: { ...present, metadata, data } };
}
