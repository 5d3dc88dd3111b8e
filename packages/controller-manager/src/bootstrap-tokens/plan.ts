/** Bootstrap tokens: which sign the cluster-info, and when they are over. */
import { parseTime, type ConfigMap, type Secret } from '@naru/api';

export const TOKEN_TYPE = 'bootstrap.kubernetes.io/token';
export const TOKEN_NAMESPACE = 'kube-system';
const TOKEN_PREFIX = 'bootstrap-token-';
const KUBECONFIG = 'kubeconfig';
const SIGNATURE_PREFIX = 'jws-kubeconfig-';

export interface BootstrapToken {
  readonly id: string;
  readonly secret: string;
  readonly signs: boolean;
  /** NaN: never. */
  readonly expirationMs: number;
}

/** The token of a Secret; undefined if it is none. */
export function tokenOf({ metadata, type, data = {} }: Secret): BootstrapToken | undefined {
  if (type !== TOKEN_TYPE || metadata.namespace !== TOKEN_NAMESPACE) return undefined;
  const textOf = (field: string): string => Buffer.from(data[field] ?? '', 'base64').toString('utf8');
  const id = textOf('token-id');
  if (!/^[a-z0-9]{6}$/u.test(id) || metadata.name !== TOKEN_PREFIX + id) return undefined;
  const expiration = textOf('expiration');
  return {
    id,
    secret: textOf('token-secret'),
    signs: textOf('usage-bootstrap-signing') === 'true',
    // What cannot be read has expired.
    expirationMs: expiration === '' ? Number.NaN : parseTime(expiration) || 0,
  };
}

/**
 * The ConfigMap as it should be: its kubeconfig signed by every token that is good, and by no other. `sign` makes a
 * signature. Undefined: it is so already, or there is nothing to sign.
 */
export function planSignatures(
  configMap: ConfigMap,
  tokens: readonly BootstrapToken[],
  nowMs: number,
  sign: (content: string, token: BootstrapToken) => string,
): ConfigMap | undefined {
  const { data = {} } = configMap;
  const content = data[KUBECONFIG];
  if (content === undefined) return undefined;
  const wanted = Object.fromEntries(Object.entries(data).filter(([name]) => !name.startsWith(SIGNATURE_PREFIX)));
  for (const token of tokens)
    if (token.signs && token.secret !== '' && !(token.expirationMs <= nowMs))
      wanted[SIGNATURE_PREFIX + token.id] = sign(content, token);
  const names = new Set([...Object.keys(data), ...Object.keys(wanted)]);
  return [...names].every((name) => data[name] === wanted[name]) ? undefined : { ...configMap, data: wanted };
}
