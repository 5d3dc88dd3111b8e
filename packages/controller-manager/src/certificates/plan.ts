/** Which CertificateSigningRequests are approved, signed and deleted: upstream's rules of the built-in signers. */
import { parseTime, type CertificateSigningRequest } from '@naru/api';

/** What a PKCS #10 request asks for. */
export interface RequestedCertificate {
  readonly commonName: string;
  readonly organizations: readonly string[];
  readonly dnsNames: readonly string[];
  readonly ipAddresses: readonly string[];
  readonly emailAddresses: readonly string[];
  readonly uris: readonly string[];
}

export const signerNames = {
  client: 'kubernetes.io/kube-apiserver-client',
  kubeletClient: 'kubernetes.io/kube-apiserver-client-kubelet',
  kubeletServing: 'kubernetes.io/kubelet-serving',
  legacyUnknown: 'kubernetes.io/legacy-unknown',
} as const;

const NODE_PREFIX = 'system:node:';
const NODES_GROUP = 'system:nodes';

type Condition = NonNullable<NonNullable<CertificateSigningRequest['status']>['conditions']>[number];

function conditionOf({ status }: CertificateSigningRequest, type: string): Condition | undefined {
  return (status?.conditions ?? []).find((each) => each.type === type);
}

/** The request with one more condition. */
export function withCondition(
  request: CertificateSigningRequest,
  condition: { readonly type: 'Approved' | 'Failed'; readonly reason: string; readonly message: string },
  now: string,
): CertificateSigningRequest {
  const conditions = request.status?.conditions ?? [];
  const added = { ...condition, status: 'True', lastUpdateTime: now, lastTransitionTime: now };
  return { ...request, status: { ...request.status, conditions: [...conditions, added] } };
}

function hasUsages(given: readonly string[], allowed: readonly string[], demanded: readonly string[]): boolean {
  return given.every((each) => allowed.includes(each)) && demanded.every((each) => given.includes(each));
}

function nodeErrors({ commonName, organizations, emailAddresses, uris }: RequestedCertificate): string[] {
  const errors: string[] = [];
  if (organizations.length !== 1 || organizations[0] !== NODES_GROUP)
    errors.push(`subject organization is not ${NODES_GROUP}`);
  if (!commonName.startsWith(NODE_PREFIX)) errors.push(`subject common name does not begin with ${NODE_PREFIX}`);
  if (emailAddresses.length > 0) errors.push('Email subjectAltNames are not allowed');
  if (uris.length > 0) errors.push('URI subjectAltNames are not allowed');
  return errors;
}

/** Why a signer must not sign; undefined where it may. */
export function signerRefusal(
  signerName: string,
  requested: RequestedCertificate,
  usages: readonly string[],
): string | undefined {
  const { dnsNames, ipAddresses } = requested;
  const common = ['digital signature', 'key encipherment'];
  const wrongUsages = `usages did not match: ${usages.join(', ')}`;
  switch (signerName) {
    case signerNames.client:
      return hasUsages(usages, [...common, 'client auth'], ['client auth']) ? undefined : wrongUsages;
    case signerNames.kubeletClient: {
      const [error] = nodeErrors(requested);
      if (error !== undefined) return error;
      if (dnsNames.length > 0) return 'DNS subjectAltNames are not allowed';
      if (ipAddresses.length > 0) return 'IP subjectAltNames are not allowed';
      const wanted = ['digital signature', 'client auth'];
      return hasUsages(usages, [...common, 'client auth'], wanted) ? undefined : wrongUsages;
    }
    case signerNames.kubeletServing: {
      const [error] = nodeErrors(requested);
      if (error !== undefined) return error;
      if (dnsNames.length === 0 && ipAddresses.length === 0) return 'DNS or IP subjectAltName is required';
      const wanted = ['digital signature', 'server auth'];
      return hasUsages(usages, [...common, 'server auth'], wanted) ? undefined : wrongUsages;
    }
    default:
      return undefined;
  }
}

/** A kubelet's request for its client certificate, with what its sender must be allowed to, and what is then said. */
export interface Recognition {
  readonly subresource: 'selfnodeclient' | 'nodeclient';
  readonly message: string;
}

export function isUndecided(request: CertificateSigningRequest): boolean {
  return (
    (request.status?.certificate ?? '') === '' &&
    conditionOf(request, 'Approved') === undefined &&
    conditionOf(request, 'Denied') === undefined
  );
}

/** What may be approved by itself, in the order in which that is asked. */
export function recognize(request: CertificateSigningRequest, requested: RequestedCertificate): Recognition[] {
  const { signerName, usages = [], username } = request.spec;
  if (signerName !== signerNames.kubeletClient || signerRefusal(signerName, requested, usages) !== undefined) return [];
  const any: Recognition = {
    subresource: 'nodeclient',
    message: 'Auto approving kubelet client certificate after SubjectAccessReview.',
  };
  const own: Recognition = {
    subresource: 'selfnodeclient',
    message: 'Auto approving self kubelet client certificate after SubjectAccessReview.',
  };
  return username === requested.commonName ? [own, any] : [any];
}

/** Whether a certificate is due. */
export function awaitsSignature(request: CertificateSigningRequest): boolean {
  return (
    (request.status?.certificate ?? '') === '' &&
    conditionOf(request, 'Approved') !== undefined &&
    conditionOf(request, 'Denied') === undefined &&
    conditionOf(request, 'Failed') === undefined
  );
}

const DURATION_MS_MIN = 600_000;

/** How long a certificate is good: what is asked for, between ten minutes and what the signer gives. */
export function durationMs(request: CertificateSigningRequest, maxMs: number): number {
  const { expirationSeconds } = request.spec;
  return expirationSeconds === undefined ? maxMs : Math.min(maxMs, Math.max(DURATION_MS_MIN, expirationSeconds * 1000));
}

const HOUR_MS = 3_600_000;
/** Certificates are valid from a little earlier, for clocks that differ. */
const BACKDATE_MS = 300_000;
/** Certificates for less than this are good for all of it from now on. */
const SHORT_MS = 8 * HOUR_MS;

/** From when until when; no longer than the signer's own certificate. */
export function validity(
  lastingMs: number,
  nowMs: number,
  signerEndMs: number,
): { readonly notBeforeMs: number; readonly notAfterMs: number } {
  const notBeforeMs = nowMs - BACKDATE_MS;
  const end = (lastingMs < SHORT_MS ? nowMs : notBeforeMs) + lastingMs;
  return { notBeforeMs, notAfterMs: Math.min(end, signerEndMs) };
}

const PENDING_MS = 24 * HOUR_MS;
const DECIDED_MS = HOUR_MS;

/**
 * When a request is to be deleted: a day after it was made if nobody decided, an hour after it was denied, failed or was
 * issued; when its certificate is over, which is `certificateEndMs`.
 */
export function deletionMs(request: CertificateSigningRequest, certificateEndMs: number | undefined): number {
  const { conditions = [], certificate = '' } = request.status ?? {};
  const ends = conditions.flatMap(({ type, lastUpdateTime }) => {
    const isOver = type === 'Denied' || type === 'Failed' || (type === 'Approved' && certificate !== '');
    return isOver ? [parseTime(lastUpdateTime ?? request.metadata.creationTimestamp) + DECIDED_MS] : [];
  });
  if (conditions.length === 0) ends.push(parseTime(request.metadata.creationTimestamp) + PENDING_MS);
  if (certificateEndMs !== undefined) ends.push(certificateEndMs);
  return Math.min(...ends.filter((each) => !Number.isNaN(each)));
}
