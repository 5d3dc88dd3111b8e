import {
  fieldInvalid,
  formatTime,
  newBadRequest,
  newConflict,
  newInvalid,
  newNotFound,
  nodes,
  pods,
  secrets,
  serviceAccounts,
  type FieldError,
  type KubeObject,
  type Node,
  type Pod,
  type Resource,
  type UnstructuredObject,
} from '@naru/api';
import type { AdmissionStore } from '../admission/admission.ts';
import type { BoundObject, ServiceAccountTokens } from '../authentication/service-account-tokens.ts';
import type { VirtualSubresource } from './virtual-resource.ts';

export interface TokenRequestOptions {
  readonly tokens: ServiceAccountTokens;
  readonly store: AdmissionStore;
}

interface TokenRequestSpec {
  audiences?: string[];
  expirationSeconds?: number;
  boundObjectRef?: { kind?: string; apiVersion?: string; name?: string; uid?: string };
}

const DEFAULT_EXPIRATION_SECONDS = 3600;
const EXPIRATION_SECONDS_MIN = 600;
const EXPIRATION_SECONDS_MAX = 2 ** 32;
/** The expiration by which the ServiceAccount plugin's own volumes are known. */
const WARN_ONLY_EXPIRATION_SECONDS = 3607;
/** How long such a token really lives, for clients that never read it again. */
const EXTENDED_EXPIRATION_SECONDS = 365 * 24 * 3600;

const kind = { group: 'authentication.k8s.io', kind: 'TokenRequest' };
const bindable: Readonly<Record<string, Resource>> = { Pod: pods, Node: nodes, Secret: secrets };

/** `serviceaccounts/token`: a signed token of the ServiceAccount, bound to an object if asked for. */
export function createTokenRequest(options: TokenRequestOptions): VirtualSubresource {
  return {
    parent: serviceAccounts,
    subresource: 'token',
    async create(account, object, { dryRun }) {
      const { tokens } = options;
      const spec = { ...((object['spec'] ?? {}) as TokenRequestSpec) };
      spec.expirationSeconds ??= DEFAULT_EXPIRATION_SECONDS;
      const isOwnAudience = (spec.audiences ?? []).length === 0;
      if (isOwnAudience) spec.audiences = [...tokens.audiences];
      checkNames(account, object);
      const errors = validateExpiration(spec.expirationSeconds);
      if (errors.length > 0) throw newInvalid(kind, '', errors);
      const { bound, node } = await findBound(account, spec, options.store);
      const answer = { ...object, metadata: metadataOf(account), spec };
      if (dryRun) return answer;
      const isExtended =
        isOwnAudience && bound?.kind === 'Pod' && spec.expirationSeconds === WARN_ONLY_EXPIRATION_SECONDS;
      const { token, issuedAtSeconds } = tokens.issue({
        serviceAccount: account,
        ...(bound === undefined ? {} : { bound }),
        ...(node === undefined ? {} : { node }),
        audiences: spec.audiences ?? [],
        expirationSeconds: isExtended ? EXTENDED_EXPIRATION_SECONDS : spec.expirationSeconds,
        ...(isExtended ? { warnAfterSeconds: spec.expirationSeconds } : {}),
      });
      const expirationTimestamp = formatTime((issuedAtSeconds + spec.expirationSeconds) * 1000);
      return { ...answer, status: { token, expirationTimestamp } };
    },
  };
}

function metadataOf({ metadata }: KubeObject): KubeObject['metadata'] {
  return {
    ...(metadata.name === undefined ? {} : { name: metadata.name }),
    ...(metadata.namespace === undefined ? {} : { namespace: metadata.namespace }),
  };
}

function checkNames(account: UnstructuredObject, object: UnstructuredObject): void {
  for (const field of ['name', 'namespace'] as const) {
    const given = object.metadata?.[field] ?? '';
    const wanted = account.metadata[field] ?? '';
    if (given !== '' && given !== wanted)
      throw newBadRequest(
        field === 'name'
          ? `the name of the object (${given}) does not match the name on the URL (${wanted})`
          : 'the namespace of the provided object does not match the namespace sent on the request',
      );
  }
}

function validateExpiration(seconds: number): FieldError[] {
  const path = 'spec.expirationSeconds';
  if (seconds < EXPIRATION_SECONDS_MIN)
    return [fieldInvalid(path, seconds, 'may not specify a duration less than 10 minutes')];
  if (seconds > EXPIRATION_SECONDS_MAX)
    return [fieldInvalid(path, seconds, 'may not specify a duration larger than 2^32 seconds')];
  return [];
}

interface Bound {
  readonly bound?: BoundObject;
  readonly node?: { readonly name: string; readonly uid?: string };
}

async function findBound(
  account: UnstructuredObject,
  { boundObjectRef }: TokenRequestSpec,
  store: AdmissionStore,
): Promise<Bound> {
  if (boundObjectRef === undefined) return {};
  const { kind: boundKind = '', apiVersion = '', name = '', uid = '' } = boundObjectRef;
  const resource = apiVersion === 'v1' ? bindable[boundKind] : undefined;
  if (resource === undefined)
    throw newBadRequest(
      `cannot bind token to object of type ${apiVersion === 'v1' ? '/v1' : apiVersion}, Kind=${boundKind}`,
    );
  const { namespace = '', name: accountName = '' } = account.metadata;
  const scope = resource.namespaced ? namespace : '';
  const found = store.get(resource, scope, name) ?? (await store.getConsistent(resource, scope, name));
  if (found === undefined) throw newNotFound(resource, name);
  const pod = boundKind === 'Pod' ? (found as Pod) : undefined;
  if (pod !== undefined && pod.spec?.serviceAccountName !== accountName)
    throw newBadRequest(
      `cannot bind token for serviceaccount ${JSON.stringify(accountName)} to pod running with different serviceaccount name.`,
    );
  const realUid = found.metadata.uid ?? '';
  if (uid !== '' && uid !== realUid)
    throw newConflict(
      resource,
      name,
      `the UID in the bound object reference (${uid}) does not match the UID in record. The object might have been deleted and then recreated`,
    );
  const bound: BoundObject = { kind: boundKind as BoundObject['kind'], name, uid: realUid };
  const nodeName = pod?.spec?.nodeName ?? '';
  if (nodeName === '') return { bound };
  const node: Node | undefined = store.get(nodes, '', nodeName);
  const nodeUid = node?.metadata.uid;
  return { bound, node: { name: nodeName, ...(nodeUid === undefined ? {} : { uid: nodeUid }) } };
}
