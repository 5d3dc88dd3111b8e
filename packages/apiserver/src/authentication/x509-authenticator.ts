import type { IncomingMessage } from 'node:http';
import { TLSSocket } from 'node:tls';
import type { Authenticator, UserInfo } from './authenticator.ts';
import type { CertificateAuthority } from './certificate-authority.ts';

/**
 * Client certificates: the subject's CN is the user, its Os the groups. The server must ask for certificates
 * (`requestCert`, with the client CA as `ca`); Node has verified the chain by the time a request arrives.
 */
export class X509Authenticator implements Authenticator {
  /** One answer per connection: a certificate does not change under it. */
  readonly #users = new WeakMap<TLSSocket, UserInfo>();
  readonly #authority: CertificateAuthority | undefined;

  /** `authority` is needed where TLS accepts certificates of others, too, such as front proxies. */
  constructor(authority?: CertificateAuthority) {
    this.#authority = authority;
  }

  authenticate(request: IncomingMessage): Promise<UserInfo | undefined> {
    const socket = request.socket;
    if (!(socket instanceof TLSSocket) || !socket.authorized) return Promise.resolve(undefined);
    const known = this.#users.get(socket);
    if (known !== undefined) return Promise.resolve(known);
    if (this.#authority !== undefined) {
      const certificate = socket.getPeerX509Certificate();
      if (certificate === undefined || !this.#authority.signed(certificate)) return Promise.resolve(undefined);
    }
    const user = userOfSubject(socket.getPeerCertificate().subject);
    if (user !== undefined) this.#users.set(socket, user);
    return Promise.resolve(user);
  }
}

/** The user that a certificate's subject names, or undefined without a CN. */
export function userOfSubject(
  subject: { readonly CN?: string | string[]; readonly O?: string | string[] } | undefined,
): UserInfo | undefined {
  const name = Array.isArray(subject?.CN) ? subject.CN[0] : subject?.CN;
  if (name === undefined || name === '') return undefined;
  const groups = subject?.O === undefined ? [] : [subject.O].flat();
  return { name, groups };
}
