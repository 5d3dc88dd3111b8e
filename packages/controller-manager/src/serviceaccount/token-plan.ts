/** Secrets with a ServiceAccount's token (type kubernetes.io/service-account-token). */
import type { Secret, ServiceAccount } from '@naru/api';

export const SERVICE_ACCOUNT_TOKEN_TYPE = 'kubernetes.io/service-account-token';
export const ACCOUNT_NAME = 'kubernetes.io/service-account.name';
export const ACCOUNT_UID = 'kubernetes.io/service-account.uid';
const ISSUER = 'kubernetes/serviceaccount';
const CLAIMS = 'kubernetes.io/serviceaccount';

export type TokenSecretPlan =
  | { readonly type: 'none' }
  | { readonly type: 'delete' }
  /** Write what it lacks; the token is to be signed from the claims. */
  | { readonly type: 'fill'; readonly secret: Secret; readonly claims: Readonly<Record<string, string>> | undefined };

/** What becomes of a token Secret, given the account that it names. */
export function planTokenSecret(
  secret: Secret,
  account: ServiceAccount | undefined,
  rootCa: string | undefined,
): TokenSecretPlan {
  const { metadata, data = {} } = secret;
  const uid = account?.metadata.uid ?? '';
  const wanted = metadata.annotations?.[ACCOUNT_UID] ?? '';
  if (account === undefined || (wanted !== '' && wanted !== uid)) return { type: 'delete' };
  const filled = { ...data };
  const namespace = metadata.namespace ?? '';
  if (rootCa !== undefined) filled['ca.crt'] = encode(rootCa);
  filled['namespace'] = encode(namespace);
  const needsToken = (data['token'] ?? '') === '';
  const isSame = !needsToken && wanted === uid && Object.entries(filled).every(([name, value]) => data[name] === value);
  if (isSame) return { type: 'none' };
  const annotations = {
    ...metadata.annotations,
    [ACCOUNT_NAME]: account.metadata.name ?? '',
    [ACCOUNT_UID]: uid,
  };
  const claims = {
    iss: ISSUER,
    [`${CLAIMS}/namespace`]: namespace,
    [`${CLAIMS}/secret.name`]: metadata.name ?? '',
    [`${CLAIMS}/service-account.name`]: account.metadata.name ?? '',
    [`${CLAIMS}/service-account.uid`]: uid,
    sub: `system:serviceaccount:${namespace}:${account.metadata.name ?? ''}`,
  };
  return {
    type: 'fill',
    secret: { ...secret, metadata: { ...metadata, annotations }, data: filled },
    claims: needsToken ? claims : undefined,
  };
}

export function withToken(secret: Secret, token: string): Secret {
  return { ...secret, data: { ...secret.data, token: encode(token) } };
}

/** Whether a Secret is the account's. */
export function isTokenOf(secret: Secret, { metadata }: ServiceAccount): boolean {
  const { annotations = {} } = secret.metadata;
  return (
    secret.type === SERVICE_ACCOUNT_TOKEN_TYPE &&
    annotations[ACCOUNT_NAME] === metadata.name &&
    (annotations[ACCOUNT_UID] === undefined || annotations[ACCOUNT_UID] === metadata.uid)
  );
}

/** The Secret that an account without a token gets, its token still missing. */
export function newTokenSecret({ metadata }: ServiceAccount, name: string): Secret {
  const annotations = { [ACCOUNT_NAME]: metadata.name ?? '', [ACCOUNT_UID]: metadata.uid ?? '' };
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name, namespace: metadata.namespace ?? '', annotations },
    type: SERVICE_ACCOUNT_TOKEN_TYPE,
    data: {},
  };
}

function encode(text: string): string {
  return Buffer.from(text).toString('base64');
}
