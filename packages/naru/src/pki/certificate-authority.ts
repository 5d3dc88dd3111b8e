import 'reflect-metadata';
import { createPrivateKey, webcrypto } from 'node:crypto';
import * as x509 from '@peculiar/x509';

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const CA_YEARS = 10;
const CERTIFICATE_YEARS = 1;
/** Certificates are valid from a little earlier, for clocks that differ. */
const BACKDATE_MS = 5 * 60_000;

/** PEM texts of a certificate and its private key (PKCS #8). */
export interface KeyPairPem {
  readonly cert: string;
  readonly key: string;
}

export interface CertificateRequest {
  readonly commonName: string;
  /** Groups in Kubernetes' sense. */
  readonly organizations?: readonly string[];
  /** DNS names and IP addresses that a server certificate is for. */
  readonly hosts?: readonly string[];
  readonly usages: readonly ('server' | 'client')[];
}

async function exportKey(key: webcrypto.CryptoKey): Promise<string> {
  return x509.PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', key), 'PRIVATE KEY');
}

function validity(years: number): { notBefore: Date; notAfter: Date } {
  const now = Date.now();
  const notAfter = new Date(now);
  notAfter.setFullYear(notAfter.getFullYear() + years);
  return { notBefore: new Date(now - BACKDATE_MS), notAfter };
}

const serialNumber = (): string => Buffer.from(webcrypto.getRandomValues(new Uint8Array(8))).toString('hex');
const isAddress = (host: string): boolean => /^[\d.]+$|:/u.test(host);

/** A certificate authority that signs the certificates of one trust domain (the cluster, the store). */
export class CertificateAuthority {
  readonly pem: KeyPairPem;
  readonly #certificate: x509.X509Certificate;
  readonly #signingKey: webcrypto.CryptoKey;

  private constructor(pem: KeyPairPem, certificate: x509.X509Certificate, signingKey: webcrypto.CryptoKey) {
    this.pem = pem;
    this.#certificate = certificate;
    this.#signingKey = signingKey;
  }

  static async create(commonName: string): Promise<CertificateAuthority> {
    const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
    const certificate = await x509.X509CertificateGenerator.createSelfSigned({
      serialNumber: serialNumber(),
      name: [{ CN: [commonName] }],
      ...validity(CA_YEARS),
      signingAlgorithm: algorithm,
      keys,
      extensions: [
        new x509.BasicConstraintsExtension(true, undefined, true),
        new x509.KeyUsagesExtension(
          x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign | x509.KeyUsageFlags.digitalSignature,
          true,
        ),
        await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      ],
    });
    const pem = { cert: certificate.toString('pem'), key: await exportKey(keys.privateKey) };
    return new CertificateAuthority(pem, certificate, keys.privateKey);
  }

  static async load(pem: KeyPairPem): Promise<CertificateAuthority> {
    const pkcs8 = createPrivateKey(pem.key).export({ type: 'pkcs8', format: 'der' });
    const key = await webcrypto.subtle.importKey('pkcs8', pkcs8, algorithm, true, ['sign']);
    return new CertificateAuthority(pem, new x509.X509Certificate(pem.cert), key);
  }

  async issue(request: CertificateRequest): Promise<KeyPairPem> {
    const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
    const usage = { server: x509.ExtendedKeyUsage.serverAuth, client: x509.ExtendedKeyUsage.clientAuth } as const;
    const names = (request.hosts ?? []).map((host) => ({
      type: isAddress(host) ? ('ip' as const) : ('dns' as const),
      value: host,
    }));
    const organizations = (request.organizations ?? []).map((organization) => ({ O: [organization] }));
    const certificate = await x509.X509CertificateGenerator.create({
      serialNumber: serialNumber(),
      subject: [...organizations, { CN: [request.commonName] }],
      issuer: this.#certificate.subject,
      ...validity(CERTIFICATE_YEARS),
      signingAlgorithm: algorithm,
      publicKey: keys.publicKey,
      signingKey: this.#signingKey,
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature | x509.KeyUsageFlags.keyEncipherment, true),
        new x509.ExtendedKeyUsageExtension(request.usages.map((each) => usage[each])),
        await x509.AuthorityKeyIdentifierExtension.create(this.#certificate),
        ...(names.length === 0 ? [] : [new x509.SubjectAlternativeNameExtension(names)]),
      ],
    });
    return { cert: certificate.toString('pem'), key: await exportKey(keys.privateKey) };
  }
}
