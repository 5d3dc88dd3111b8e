import type { CertificateSigningRequest } from '@naru/api';

/** The PEM text of a request's field, which is base64 on the wire. */
export function pemOf(field: string | undefined): string {
  return Buffer.from(field ?? '', 'base64').toString('utf8');
}

/** Loaded when the first request comes: clusters without any do not pay for the library. */
export async function parseRequest(request: CertificateSigningRequest) {
  const { CertificateRequest } = await import('./certificate-signer.ts');
  return new CertificateRequest(pemOf(request.spec.request));
}
