import 'reflect-metadata';
import { createPrivateKey, webcrypto, type KeyObject } from 'node:crypto';
import * as x509 from '@peculiar/x509';
import type { RequestedCertificate } from './plan.ts';

/** A PKCS #10 request. */
export class CertificateRequest {
  readonly requested: RequestedCertificate;
  readonly #request: x509.Pkcs10CertificateRequest;
  readonly #names: readonly x509.GeneralName[];

  /** @throws Error where the text is no such request. */
  constructor(pem: string) {
    this.#request = new x509.Pkcs10CertificateRequest(pem);
    const names = this.#request.extensions.find((each) => each instanceof x509.SubjectAlternativeNameExtension);
    this.#names = names?.names.items ?? [];
    const subject = this.#request.subjectName;
    const valuesOf = (type: string): string[] =>
      this.#names.filter((each) => each.type === type).map((each) => each.value);
    this.requested = {
      commonName: subject.getField('CN').at(-1) ?? '',
      organizations: subject.getField('O'),
      dnsNames: valuesOf('dns'),
      ipAddresses: valuesOf('ip'),
      emailAddresses: valuesOf('email'),
      uris: valuesOf('url'),
    };
  }

  get subject(): x509.Name {
    return this.#request.subjectName;
  }

  get publicKey(): x509.PublicKey {
    return this.#request.publicKey;
  }

  get names(): readonly x509.GeneralName[] {
    return this.#names;
  }

  /** Whether who asks has the key. */
  async isSigned(): Promise<boolean> {
    return await this.#request.verify();
  }
}

const keyUsages: Readonly<Record<string, x509.KeyUsageFlags>> = {
  signing: x509.KeyUsageFlags.digitalSignature,
  'digital signature': x509.KeyUsageFlags.digitalSignature,
  'content commitment': x509.KeyUsageFlags.nonRepudiation,
  'key encipherment': x509.KeyUsageFlags.keyEncipherment,
  'key agreement': x509.KeyUsageFlags.keyAgreement,
  'data encipherment': x509.KeyUsageFlags.dataEncipherment,
  'cert sign': x509.KeyUsageFlags.keyCertSign,
  'crl sign': x509.KeyUsageFlags.cRLSign,
  'encipher only': x509.KeyUsageFlags.encipherOnly,
  'decipher only': x509.KeyUsageFlags.decipherOnly,
};
const extendedKeyUsages: Readonly<Record<string, string>> = {
  any: '2.5.29.37.0',
  'server auth': x509.ExtendedKeyUsage.serverAuth,
  'client auth': x509.ExtendedKeyUsage.clientAuth,
  'code signing': x509.ExtendedKeyUsage.codeSigning,
  'email protection': x509.ExtendedKeyUsage.emailProtection,
  's/mime': x509.ExtendedKeyUsage.emailProtection,
  'ipsec end system': '1.3.6.1.5.5.7.3.5',
  'ipsec tunnel': '1.3.6.1.5.5.7.3.6',
  'ipsec user': '1.3.6.1.5.5.7.3.7',
  timestamping: x509.ExtendedKeyUsage.timeStamping,
  'ocsp signing': x509.ExtendedKeyUsage.ocspSigning,
  'microsoft sgc': '1.3.6.1.4.1.311.10.3.3',
  'netscape sgc': '2.16.840.1.113730.4.1',
};

type SigningAlgorithm = { readonly name: string; readonly hash: string; readonly namedCurve?: string };

/** @throws Error for keys that sign no certificates. */
function algorithmOf(key: KeyObject): SigningAlgorithm {
  if (key.asymmetricKeyType === 'rsa') return { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' };
  if (key.asymmetricKeyType === 'ec')
    switch (key.asymmetricKeyDetails?.namedCurve) {
      case 'prime256v1':
        return { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
      case 'secp384r1':
        return { name: 'ECDSA', namedCurve: 'P-384', hash: 'SHA-384' };
      case 'secp521r1':
        return { name: 'ECDSA', namedCurve: 'P-521', hash: 'SHA-512' };
      default:
    }
  throw new Error('the key of a signer must be RSA or EC with curve P-256, P-384 or P-521');
}

/** Signs certificates by an authority's key. */
export class CertificateSigner {
  readonly endMs: number;
  readonly #certificate: x509.X509Certificate;
  readonly #key: webcrypto.CryptoKey;
  readonly #algorithm: SigningAlgorithm;

  private constructor(certificate: x509.X509Certificate, key: webcrypto.CryptoKey, algorithm: SigningAlgorithm) {
    this.#certificate = certificate;
    this.#key = key;
    this.#algorithm = algorithm;
    this.endMs = certificate.notAfter.getTime();
  }

  /** @throws Error where the PEM texts are no certificate and key. */
  static async load(pem: { readonly cert: string; readonly key: string }): Promise<CertificateSigner> {
    const key = createPrivateKey(pem.key);
    const algorithm = algorithmOf(key);
    const der = key.export({ type: 'pkcs8', format: 'der' });
    const imported = await webcrypto.subtle.importKey('pkcs8', der, algorithm, false, ['sign']);
    return new CertificateSigner(new x509.X509Certificate(pem.cert), imported, algorithm);
  }

  /** A certificate for what is requested, in PEM. */
  async sign(
    request: CertificateRequest,
    usages: readonly string[],
    { notBeforeMs, notAfterMs }: { readonly notBeforeMs: number; readonly notAfterMs: number },
  ): Promise<string> {
    const extended = new Set(usages.flatMap((each) => extendedKeyUsages[each] ?? []));
    const bits = usages.flatMap((each) => keyUsages[each] ?? []);
    const { names } = request;
    const certificate = await x509.X509CertificateGenerator.create({
      serialNumber: Buffer.from(webcrypto.getRandomValues(new Uint8Array(16))).toString('hex'),
      subject: request.subject,
      issuer: this.#certificate.subjectName,
      notBefore: new Date(notBeforeMs),
      notAfter: new Date(notAfterMs),
      signingAlgorithm: this.#algorithm,
      publicKey: request.publicKey,
      signingKey: this.#key,
      extensions: [
        ...(bits.length === 0
          ? []
          : [
              new x509.KeyUsagesExtension(
                bits.reduce((all, each) => all | each),
                true,
              ),
            ]),
        ...(extended.size === 0 ? [] : [new x509.ExtendedKeyUsageExtension([...extended])]),
        new x509.BasicConstraintsExtension(false, undefined, true),
        await x509.AuthorityKeyIdentifierExtension.create(this.#certificate),
        ...(names.length === 0 ? [] : [new x509.SubjectAlternativeNameExtension(names.map((each) => each.toJSON()))]),
      ],
    });
    return `${certificate.toString('pem')}\n`;
  }
}
