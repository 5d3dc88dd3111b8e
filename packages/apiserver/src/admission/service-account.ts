import {
  generateName,
  serviceAccounts,
  type Container,
  type Pod,
  type PodSpec,
  type ServiceAccount,
  type Volume,
} from '@naru/api';
import type { Clock } from '@naru/component';
import type { AdmissionAttributes, AdmissionPlugin, AdmissionStore } from './admission.ts';
import { isResource, refuse } from './refusal.ts';

const TOKEN_MOUNT_PATH = '/var/run/secrets/kubernetes.io/serviceaccount';
const TOKEN_VOLUME_PREFIX = 'kube-api-access-';
/** The odd seven seconds mark tokens that the plugin asked for. */
const TOKEN_EXPIRATION_SECONDS = 3607;
const MODE = 0o644;
/** The default ServiceAccount of a new namespace is made by a controller a moment after the namespace. */
const DEFAULT_ACCOUNT_TRIES = 10;
const DEFAULT_ACCOUNT_RETRY_MS = 100;
const mirrorAnnotation = 'kubernetes.io/config.mirror';

export interface ServiceAccountPluginOptions {
  /** Whether pods get their ServiceAccount's token mounted; needs a signing key. */
  readonly mountTokens: boolean;
  readonly clock: Clock;
  readonly random: () => number;
}

/** Every pod runs as a ServiceAccount that exists, and has its token mounted unless it says no. */
export function serviceAccountPlugin(options: ServiceAccountPluginOptions): AdmissionPlugin {
  return {
    name: 'ServiceAccount',
    handles: (operation, resource, subresource) =>
      operation === 'CREATE' && subresource === '' && isResource(resource, '', 'pods'),
    async admit(attributes, store) {
      const pod = attributes.object as Pod | undefined;
      const spec = pod?.spec;
      if (pod === undefined || spec === undefined) return;
      if (pod.metadata.annotations?.[mirrorAnnotation] !== undefined) {
        refuseMirrorReferences(attributes, spec);
        return;
      }
      if ((spec.serviceAccountName ?? '') === '') spec.serviceAccountName = 'default';
      const name = spec.serviceAccountName ?? 'default';
      spec.serviceAccount = name;
      const account = await findAccount(attributes, store, name, options.clock);
      const wantsToken = spec.automountServiceAccountToken ?? account.automountServiceAccountToken ?? true;
      if (options.mountTokens && wantsToken) mountToken(spec, options.random);
      if ((spec.imagePullSecrets ?? []).length === 0 && (account.imagePullSecrets ?? []).length > 0)
        spec.imagePullSecrets = structuredClone(account.imagePullSecrets ?? []);
    },
  };
}

function refuseMirrorReferences(attributes: AdmissionAttributes, spec: PodSpec): void {
  if ((spec.serviceAccountName ?? '') !== '')
    throw refuse(attributes, 'a mirror pod may not reference service accounts');
  const usesToken = (spec.volumes ?? []).some(({ projected }) =>
    (projected?.sources ?? []).some(({ serviceAccountToken }) => serviceAccountToken !== undefined),
  );
  if (usesToken) throw refuse(attributes, 'a mirror pod may not use ServiceAccountToken volume projections');
  if ((spec.volumes ?? []).some(({ secret }) => secret !== undefined))
    throw refuse(attributes, 'a mirror pod may not reference secrets');
}

async function findAccount(
  attributes: AdmissionAttributes,
  store: AdmissionStore,
  name: string,
  clock: Clock,
): Promise<ServiceAccount> {
  const { namespace } = attributes;
  const cached = store.get(serviceAccounts, namespace, name);
  if (cached !== undefined) return cached;
  const tries = name === 'default' ? DEFAULT_ACCOUNT_TRIES : 1;
  for (let i = 1; i <= tries; i++) {
    const stored = await store.getConsistent(serviceAccounts, namespace, name);
    if (stored !== undefined) return stored;
    if (i < tries) await clock.sleep(DEFAULT_ACCOUNT_RETRY_MS);
  }
  throw refuse(
    attributes,
    `error looking up service account ${namespace}/${name}: serviceaccount ${JSON.stringify(name)} not found`,
  );
}

function mountToken(spec: PodSpec, random: () => number): void {
  const known = (spec.volumes ?? []).find(({ name }) => name.startsWith(TOKEN_VOLUME_PREFIX))?.name;
  const volumeName = known ?? generateName(TOKEN_VOLUME_PREFIX, random);
  let isMounted = false;
  for (const container of [...(spec.initContainers ?? []), ...(spec.containers ?? [])])
    if (mountInto(container, volumeName)) isMounted = true;
  if (isMounted && known === undefined) spec.volumes = [...(spec.volumes ?? []), tokenVolume(volumeName)];
}

/** False when something is mounted there already. */
function mountInto(container: Container, volumeName: string): boolean {
  if ((container.volumeMounts ?? []).some(({ mountPath }) => mountPath === TOKEN_MOUNT_PATH)) return false;
  container.volumeMounts = [
    ...(container.volumeMounts ?? []),
    { name: volumeName, readOnly: true, mountPath: TOKEN_MOUNT_PATH },
  ];
  return true;
}

/** Token, CA certificate and namespace: what a client in a pod needs to reach the API server. */
function tokenVolume(name: string): Volume {
  return {
    name,
    projected: {
      defaultMode: MODE,
      sources: [
        { serviceAccountToken: { path: 'token', expirationSeconds: TOKEN_EXPIRATION_SECONDS } },
        { configMap: { name: 'kube-root-ca.crt', items: [{ key: 'ca.crt', path: 'ca.crt' }] } },
        {
          downwardAPI: {
            items: [{ path: 'namespace', fieldRef: { apiVersion: 'v1', fieldPath: 'metadata.namespace' } }],
          },
        },
      ],
    },
  };
}
