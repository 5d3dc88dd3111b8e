import { randomBytes } from 'node:crypto';
import { EtcdError, type AuthPermission, type ResponseHeader } from '@naru/etcd';
import type { AuthOperation } from '../auth/auth-operation.ts';
import type { Permission } from '../auth/permission.ts';
import type { AuthGuard, Credentials } from './auth-guard.ts';
import type { Passwords } from './passwords.ts';
import type { Proposer } from './proposer.ts';
import type { SignedTokens } from './signed-tokens.ts';
import type { KvStateMachine } from './state-machine.ts';

interface OnlyHeader {
  readonly header: ResponseHeader;
}

/** Changes that need no more than their operation. */
type Change = Exclude<AuthOperation, { readonly action: 'authenticate' | 'userAdd' | 'userChangePassword' }>;

/** etcd's Auth service on one member. */
export class AuthServer {
  readonly #proposer: Proposer;
  readonly #machine: KvStateMachine;
  readonly #guard: AuthGuard;
  readonly #passwords: Passwords;
  readonly #signedTokens: SignedTokens | undefined;

  constructor(options: {
    readonly proposer: Proposer;
    readonly machine: KvStateMachine;
    readonly guard: AuthGuard;
    readonly passwords: Passwords;
    readonly signedTokens?: SignedTokens | undefined;
  }) {
    this.#proposer = options.proposer;
    this.#machine = options.machine;
    this.#guard = options.guard;
    this.#passwords = options.passwords;
    this.#signedTokens = options.signedTokens;
  }

  async change(operation: Change, credentials: Credentials): Promise<OnlyHeader> {
    return await this.#propose(operation, credentials);
  }

  async userAdd(
    request: { readonly name: string; readonly password: string; readonly noPassword: boolean },
    credentials: Credentials,
  ): Promise<OnlyHeader> {
    // Before the costly hash, so that strangers cannot make the member work.
    await this.#guard.checkAdmin(credentials);
    if (request.name === '') throw new EtcdError('userEmpty');
    const passwordHash = request.noPassword ? '' : await this.#passwords.hash(request.password);
    return await this.#propose({ action: 'userAdd', name: request.name, passwordHash }, credentials);
  }

  async userChangePassword(
    request: { readonly name: string; readonly password: string },
    credentials: Credentials,
  ): Promise<OnlyHeader> {
    await this.#guard.checkAdmin(credentials);
    const passwordHash = await this.#passwords.hash(request.password);
    return await this.#propose({ action: 'userChangePassword', name: request.name, passwordHash }, credentials);
  }

  async roleGrantPermission(
    request: { readonly role: string; readonly permission: AuthPermission | undefined },
    credentials: Credentials,
  ): Promise<OnlyHeader> {
    if (request.permission === undefined) throw new EtcdError('permissionNotGiven');
    const { permType, key, rangeEnd } = request.permission;
    const permission = { permission: permType, key: key.toString('latin1'), end: rangeEnd.toString('latin1') };
    return await this.#propose({ action: 'roleGrantPermission', role: request.role, permission }, credentials);
  }

  async status(
    credentials: Credentials,
  ): Promise<OnlyHeader & { readonly enabled: boolean; readonly authRevision: number }> {
    await this.#linearizeForAdmin(credentials);
    const { enabled, revision } = this.#machine.auth;
    return { header: this.#header(), enabled, authRevision: revision };
  }

  async userList(credentials: Credentials): Promise<OnlyHeader & { readonly names: readonly string[] }> {
    await this.#linearizeForAdmin(credentials);
    return { header: this.#header(), names: this.#machine.auth.userNames };
  }

  async roleList(credentials: Credentials): Promise<OnlyHeader & { readonly names: readonly string[] }> {
    await this.#linearizeForAdmin(credentials);
    return { header: this.#header(), names: this.#machine.auth.roleNames };
  }

  /** Everybody may ask for themselves. */
  async userGet(name: string, credentials: Credentials): Promise<OnlyHeader & { readonly names: readonly string[] }> {
    await this.#proposer.linearize();
    await this.#guard.check(credentials, ({ auth }, info) =>
      info?.user === name ? auth.refuseStranger(info) : auth.refuseAdmin(info),
    );
    const user = this.#machine.auth.user(name);
    if (user === undefined) throw new EtcdError('userNotFound');
    return { header: this.#header(), names: user.roles };
  }

  /** Everybody may ask for roles of their own. */
  async roleGet(
    role: string,
    credentials: Credentials,
  ): Promise<OnlyHeader & { readonly permissions: readonly AuthPermission[] }> {
    await this.#proposer.linearize();
    await this.#guard.check(credentials, ({ auth }, info) =>
      info !== undefined && auth.user(info.user)?.roles.includes(role) === true
        ? auth.refuseStranger(info)
        : auth.refuseAdmin(info),
    );
    const permissions = this.#machine.auth.role(role);
    if (permissions === undefined) throw new EtcdError('roleNotFound');
    return { header: this.#header(), permissions: permissions.map(authPermission) };
  }

  /** Checks the password here and gives out a token. */
  async authenticate(request: {
    readonly name: string;
    readonly password: string;
  }): Promise<OnlyHeader & { readonly token: string }> {
    await this.#proposer.linearize();
    for (;;) {
      const { auth } = this.#machine;
      if (!auth.enabled) throw new EtcdError('authNotEnabled');
      const { revision } = auth;
      const hash = auth.user(request.name)?.passwordHash;
      if (hash === '') throw new EtcdError('noPasswordUser');
      if (hash === undefined || !(await this.#passwords.matches(request.password, hash)))
        throw new EtcdError('authFailed');
      const signed = await this.#signedTokens?.sign({ user: request.name, revision });
      if (this.#signedTokens !== undefined) {
        if (signed === undefined) throw new EtcdError('authFailed');
        return { header: this.#header(), token: signed };
      }
      const tokenPrefix = newTokenPrefix();
      const result = await this.#proposer.propose<'authenticated'>(
        { type: 'auth', operation: { action: 'authenticate', name: request.name, tokenPrefix } },
        'cluster',
      );
      // The password may have been changed since it was checked.
      if (this.#machine.auth.revision === revision)
        return { header: this.#proposer.header(result.revision), token: result.token };
    }
  }

  async #propose(operation: AuthOperation, credentials: Credentials): Promise<OnlyHeader> {
    const result = await this.#proposer.propose<'done'>({ type: 'auth', operation }, credentials);
    return { header: this.#proposer.header(result.revision) };
  }

  async #linearizeForAdmin(credentials: Credentials): Promise<void> {
    await this.#proposer.linearize();
    await this.#guard.checkAdmin(credentials);
  }

  #header(): ResponseHeader {
    return this.#proposer.header(this.#machine.store.revision);
  }
}

function authPermission(permission: Permission): AuthPermission {
  return {
    permType: permission.permission,
    key: Buffer.from(permission.key, 'latin1'),
    rangeEnd: Buffer.from(permission.end, 'latin1'),
  };
}

const TOKEN_PREFIX_BYTES = 12;

/** 96 random bits, without the dot that ends it. */
function newTokenPrefix(): string {
  return randomBytes(TOKEN_PREFIX_BYTES).toString('base64url');
}
