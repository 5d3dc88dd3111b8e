import type { IncomingMessage } from 'node:http';
import { TLSSocket } from 'node:tls';
import { unescapeExtraKey } from './extra-key.ts';
import type { Authenticator, UserInfo } from './authenticator.ts';
import type { CertificateAuthority } from './certificate-authority.ts';
import { userOfSubject } from './x509-authenticator.ts';

export interface RequestHeaderOptions {
  /** `--requestheader-client-ca-file`. */
  readonly authority: CertificateAuthority;
  /** `--requestheader-allowed-names`; empty: whomever the authority signed. */
  readonly allowedNames: readonly string[];
  /** `--requestheader-username-headers`, `-uid-headers`, `-group-headers`, `-extra-headers-prefix`. */
  readonly usernameHeaders: readonly string[];
  readonly uidHeaders: readonly string[];
  readonly groupHeaders: readonly string[];
  readonly extraHeadersPrefix: readonly string[];
}

/** A front proxy, known by its certificate, says in headers whom it speaks for. */
export class RequestHeaderAuthenticator implements Authenticator {
  readonly #options: RequestHeaderOptions;
  readonly #trusted = new WeakMap<TLSSocket, boolean>();

  constructor(options: RequestHeaderOptions) {
    this.#options = options;
  }

  authenticate(request: IncomingMessage): Promise<UserInfo | undefined> {
    const { usernameHeaders, uidHeaders, groupHeaders, extraHeadersPrefix } = this.#options;
    const name = firstOf(request, usernameHeaders);
    if (name === '' || !this.#isProxy(request)) return Promise.resolve(undefined);
    const uid = firstOf(request, uidHeaders);
    const extra: Record<string, string[]> = {};
    for (const prefix of extraHeadersPrefix) {
      const lower = prefix.toLowerCase();
      for (const [header, values] of Object.entries(request.headersDistinct))
        if (header.startsWith(lower) && values !== undefined)
          extra[unescapeExtraKey(header.slice(lower.length))] = values;
    }
    return Promise.resolve({
      name,
      ...(uid === '' ? {} : { uid }),
      groups: groupHeaders.flatMap((each) => request.headersDistinct[each.toLowerCase()] ?? []),
      ...(Object.keys(extra).length === 0 ? {} : { extra }),
    });
  }

  #isProxy({ socket }: IncomingMessage): boolean {
    if (!(socket instanceof TLSSocket) || !socket.authorized) return false;
    let trusted = this.#trusted.get(socket);
    if (trusted === undefined) {
      const certificate = socket.getPeerX509Certificate();
      const { authority, allowedNames } = this.#options;
      const name = userOfSubject(socket.getPeerCertificate().subject)?.name ?? '';
      trusted =
        certificate !== undefined &&
        authority.signed(certificate) &&
        (allowedNames.length === 0 || allowedNames.includes(name));
      this.#trusted.set(socket, trusted);
    }
    return trusted;
  }
}

function firstOf(request: IncomingMessage, names: readonly string[]): string {
  for (const name of names) {
    const [value = ''] = request.headersDistinct[name.toLowerCase()] ?? [];
    if (value !== '') return value;
  }
  return '';
}
