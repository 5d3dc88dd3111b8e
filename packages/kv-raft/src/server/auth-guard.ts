import type { IncomingHttpHeaders } from 'node:http';
import type { Clock } from '@naru/component';
import { EtcdError, type ServerErrorCode } from '@naru/etcd';
import type { AccessContext } from '../auth/access.ts';
import type { AuthInfo } from '../auth/auth-store.ts';
import type { KvStateMachine } from './state-machine.ts';
import type { SignedTokens } from './signed-tokens.ts';

/** What a request shows of who sent it. */
export interface Credentials {
  readonly token?: string | undefined;
  /** Of the client's certificate, which was verified. */
  readonly commonName?: string | undefined;
}

/** Of a request by its headers: gRPC's, or the gateway's. */
export function credentialsOf(headers: IncomingHttpHeaders, commonName?: string): Credentials {
  const token = headers['grpc-metadata-token'] ?? headers['token'] ?? headers.authorization;
  return { token: Array.isArray(token) ? token[0] : token, commonName };
}

/** How long a token may be ahead of what this member has applied, and how often that is looked at. */
const TOKEN_WAIT_MS = 2000;
const TOKEN_POLL_MS = 10;

/** Finds out who sends a request, and refuses who may not. Costs nothing while authentication is disabled. */
export class AuthGuard {
  readonly #machine: KvStateMachine;
  readonly #clock: Clock;
  readonly #signedTokens: SignedTokens | undefined;

  constructor(options: {
    readonly machine: KvStateMachine;
    readonly clock: Clock;
    /** Tokens that tell who holds them; absent: simple tokens. */
    readonly signedTokens?: SignedTokens | undefined;
  }) {
    this.#machine = options.machine;
    this.#clock = options.clock;
    this.#signedTokens = options.signedTokens;
  }

  get enabled(): boolean {
    return this.#machine.auth.enabled;
  }

  /** Undefined: nobody, or authentication is disabled. @throws EtcdError invalidAuthToken */
  async infoOf(credentials: Credentials | undefined): Promise<AuthInfo | undefined> {
    if (!this.enabled || credentials === undefined) return undefined;
    const { token, commonName } = credentials;
    if (token !== undefined) {
      const info = await (this.#signedTokens?.verify(token) ?? this.#simple(token));
      if (info === undefined) throw new EtcdError('invalidAuthToken');
      return info;
    }
    return commonName === undefined ? undefined : { user: commonName, revision: this.#machine.auth.revision };
  }

  /** Refuses what `refuse` has a code against, looked at now. @throws EtcdError */
  async check(
    credentials: Credentials | undefined,
    refuse: (context: AccessContext, info: AuthInfo | undefined) => ServerErrorCode | undefined,
  ): Promise<void> {
    if (!this.enabled) return;
    const info = await this.infoOf(credentials);
    const code = refuse({ auth: this.#machine.auth, leases: this.#machine.store.leases }, info);
    if (code !== undefined) throw new EtcdError(code);
  }

  /** @throws EtcdError unless it is a user with the root role */
  async checkAdmin(credentials: Credentials | undefined): Promise<void> {
    await this.check(credentials, ({ auth }, info) => auth.refuseAdmin(info));
  }

  /** @throws EtcdError unless it is a user */
  async checkUser(credentials: Credentials | undefined): Promise<void> {
    await this.check(credentials, ({ auth }, info) => auth.refuseStranger(info));
  }

  /** A token names the log entry that made it: a member that is behind waits until it knows it. */
  async #simple(token: string): Promise<AuthInfo | undefined> {
    const index = Number(/^[^.]+\.(\d{1,15})$/u.exec(token)?.[1] ?? Number.NaN);
    if (Number.isNaN(index)) return undefined;
    const until = this.#clock.monotonic() + TOKEN_WAIT_MS;
    while (this.#machine.appliedIndex < index && this.#clock.monotonic() < until)
      await this.#clock.sleep(TOKEN_POLL_MS);
    const user = this.#machine.tokens.use(token, this.#clock.monotonic());
    return user === undefined ? undefined : { user, revision: this.#machine.auth.revision };
  }
}
