import { X509Certificate } from 'node:crypto';

/** Certificates between a client's and its root; longer chains are refused. */
const CHAIN_LENGTH_MAX = 10;

const pemBlock = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/gu;

/** The certificates that sign clients, out of a bundle in PEM. */
export class CertificateAuthority {
  readonly #certificates: readonly X509Certificate[];

  /** @throws Error where the text is no bundle. */
  constructor(pem: string) {
    this.#certificates = [...pem.matchAll(pemBlock)].map(([block]) => new X509Certificate(block));
    if (this.#certificates.length === 0) throw new Error('no certificate found');
  }

  /**
   * Whether a client's certificate is one of this authority's, directly or by the chain that came with it. Times and purposes
   * are TLS' affair.
   */
  signed(certificate: X509Certificate): boolean {
    let current: X509Certificate | undefined = certificate;
    for (let length = 0; current !== undefined && length < CHAIN_LENGTH_MAX; length++) {
      const subject: X509Certificate = current;
      if (this.#certificates.some((each) => subject.checkIssued(each) && subject.verify(each.publicKey))) return true;
      current = subject.issuerCertificate;
    }
    return false;
  }
}
