import type { Buffer } from 'node:buffer';
import type { ServerErrorCode } from '@naru/etcd';
import { BinaryReader, BinaryWriter } from '../mvcc/binary.ts';
import type { KeyRange } from '../mvcc/operation.ts';
import { readPermission, readText, writePermission, writeText, type AuthOperation } from './auth-operation.ts';
import { KeySet, type Permission } from './permission.ts';

/** Whose request it is, and the revision of the auth store at which that was found out. */
export interface AuthInfo {
  readonly user: string;
  readonly revision: number;
}

export interface User {
  /** Empty: the user has no password. */
  readonly passwordHash: string;
  /** Sorted. */
  readonly roles: readonly string[];
}

export const ROOT = 'root';

/** The state that a snapshot holds. */
export interface AuthState {
  readonly enabled: boolean;
  readonly revision: number;
  readonly users: ReadonlyMap<string, User>;
  readonly roles: ReadonlyMap<string, readonly Permission[]>;
}

/** Keys that a user may read and write. */
interface Rights {
  readonly read: KeySet;
  readonly write: KeySet;
}

/**
 * Users, roles and permissions, with etcd's rules. Replicated: the same operations give the same state on every member.
 * Whatever changes what someone may counts `revision` up: a request that was let in at an older one is refused when it is
 * applied.
 */
export class AuthStore {
  readonly #users: Map<string, User>;
  readonly #roles: Map<string, readonly Permission[]>;
  /** By user; forgotten at each change. */
  readonly #rights = new Map<string, Rights>();
  #enabled: boolean;
  #revision: number;

  constructor(state?: AuthState) {
    this.#enabled = state?.enabled ?? false;
    this.#revision = state?.revision ?? 1;
    this.#users = new Map(state?.users);
    this.#roles = new Map(state?.roles);
  }

  get enabled(): boolean {
    return this.#enabled;
  }

  get revision(): number {
    return this.#revision;
  }

  get userNames(): readonly string[] {
    return [...this.#users.keys()].toSorted();
  }

  get roleNames(): readonly string[] {
    return [...this.#roles.keys()].toSorted();
  }

  user(name: string): User | undefined {
    return this.#users.get(name);
  }

  /** The permissions of a role; undefined: there is no such role. */
  role(name: string): readonly Permission[] | undefined {
    return this.#roles.get(name);
  }

  /** Carries out a change. Undefined: done, or nothing was to be done. */
  execute(operation: AuthOperation): ServerErrorCode | undefined {
    switch (operation.action) {
      case 'enable':
        return this.#enable();
      case 'disable':
        return this.#enabled ? this.#change(() => void (this.#enabled = false)) : undefined;
      case 'userAdd':
        if (operation.name === '') return 'userEmpty';
        if (this.#users.has(operation.name)) return 'userAlreadyExist';
        return this.#change(() => this.#users.set(operation.name, { passwordHash: operation.passwordHash, roles: [] }));
      case 'userDelete':
        if (this.#enabled && operation.name === ROOT) return 'invalidAuthMgmt';
        if (!this.#users.has(operation.name)) return 'userNotFound';
        return this.#change(() => this.#users.delete(operation.name));
      case 'userChangePassword':
        // Who has no password is not given one.
        return this.#updateUser(operation.name, (user) =>
          user.passwordHash === '' ? user : { ...user, passwordHash: operation.passwordHash },
        );
      case 'userGrantRole':
        return this.#grantRole(operation.name, operation.role);
      case 'userRevokeRole':
        if (this.#enabled && operation.name === ROOT && operation.role === ROOT) return 'invalidAuthMgmt';
        return this.#updateUser(operation.name, (user) =>
          user.roles.includes(operation.role)
            ? { ...user, roles: user.roles.filter((each) => each !== operation.role) }
            : 'roleNotGranted',
        );
      case 'roleAdd':
        if (operation.role === '') return 'roleEmpty';
        if (this.#roles.has(operation.role)) return 'roleAlreadyExist';
        return this.#change(() => this.#roles.set(operation.role, []));
      case 'roleDelete':
        return this.#deleteRole(operation.role);
      case 'roleGrantPermission':
      case 'roleRevokePermission':
        return this.#changePermission(operation);
      case 'authenticate':
        if (!this.#enabled) return 'authNotEnabled';
        return this.#users.has(operation.name) ? undefined : 'authFailed';
      default:
        return operation satisfies never;
    }
  }

  /** Whether `info` may administer; a code says why not. */
  refuseAdmin(info: AuthInfo | undefined): ServerErrorCode | undefined {
    if (!this.#enabled) return undefined;
    if (info === undefined) return 'userEmpty';
    return this.#users.get(info.user)?.roles.includes(ROOT) === true ? undefined : 'permissionDenied';
  }

  /** Whether `info` is of a user at all. */
  refuseStranger(info: AuthInfo | undefined): ServerErrorCode | undefined {
    if (!this.#enabled) return undefined;
    if (info === undefined) return 'userEmpty';
    if (info.revision < this.#revision) return 'authOldRevision';
    return this.#users.has(info.user) ? undefined : 'permissionDenied';
  }

  /** Whether `info` may read, or write, all keys of `range`. */
  refuseRange(info: AuthInfo | undefined, range: KeyRange, access: 'read' | 'write'): ServerErrorCode | undefined {
    if (!this.#enabled) return undefined;
    const stranger = this.refuseStranger(info);
    if (stranger !== undefined || info === undefined) return stranger;
    if (this.#users.get(info.user)?.roles.includes(ROOT) === true) return undefined;
    return this.#rightsOf(info.user)[access].holds(range) ? undefined : 'permissionDenied';
  }

  /** Equal states give equal bytes. */
  encode(): Buffer {
    const writer = new BinaryWriter();
    writer.u8(this.#enabled ? 1 : 0);
    writer.uvarint(this.#revision);
    writer.uvarint(this.#users.size);
    for (const name of this.userNames) {
      const user = this.#users.get(name) as User;
      writeText(writer, name);
      writeText(writer, user.passwordHash);
      writer.uvarint(user.roles.length);
      for (const role of user.roles) writeText(writer, role);
    }
    writer.uvarint(this.#roles.size);
    for (const name of this.roleNames) {
      const permissions = this.#roles.get(name) ?? [];
      writeText(writer, name);
      writer.uvarint(permissions.length);
      for (const permission of permissions) writePermission(writer, permission);
    }
    return writer.take();
  }

  /** @throws RangeError for bytes that `encode` did not write */
  static decode(bytes: Uint8Array): AuthStore {
    const reader = new BinaryReader(bytes);
    const list = <T>(read: () => T): T[] => {
      const length = reader.uvarint();
      if (length > reader.remaining) throw new RangeError('auth: list too long');
      return Array.from({ length }, read);
    };
    const enabled = reader.u8() === 1;
    const revision = reader.uvarint();
    const users = list(
      () => [readText(reader), { passwordHash: readText(reader), roles: list(() => readText(reader)) }] as const,
    );
    const roles = list(() => [readText(reader), list(() => readPermission(reader))] as const);
    if (reader.remaining > 0) throw new RangeError('auth: trailing bytes');
    return new AuthStore({ enabled, revision, users: new Map(users), roles: new Map(roles) });
  }

  #enable(): ServerErrorCode | undefined {
    if (this.#enabled) return undefined;
    const root = this.#users.get(ROOT);
    if (root === undefined) return 'rootUserNotExist';
    if (!root.roles.includes(ROOT)) return 'rootRoleNotExist';
    // As in etcd, this alone does not count as a change.
    this.#enabled = true;
    return undefined;
  }

  #grantRole(name: string, role: string): ServerErrorCode | undefined {
    const user = this.#users.get(name);
    if (user === undefined) return 'userNotFound';
    if (role !== ROOT && !this.#roles.has(role)) return 'roleNotFound';
    if (user.roles.includes(role)) return undefined;
    return this.#updateUser(name, () => ({ ...user, roles: [...user.roles, role].toSorted() }));
  }

  #deleteRole(role: string): ServerErrorCode | undefined {
    if (this.#enabled && role === ROOT) return 'invalidAuthMgmt';
    if (!this.#roles.has(role)) return 'roleNotFound';
    return this.#change(() => {
      this.#roles.delete(role);
      for (const [name, user] of this.#users)
        if (user.roles.includes(role))
          this.#users.set(name, { ...user, roles: user.roles.filter((each) => each !== role) });
    });
  }

  #changePermission(
    operation: Extract<AuthOperation, { readonly action: 'roleGrantPermission' | 'roleRevokePermission' }>,
  ): ServerErrorCode | undefined {
    const permissions = this.#roles.get(operation.role);
    if (permissions === undefined) return 'roleNotFound';
    const { key, end } = operation.action === 'roleGrantPermission' ? operation.permission : operation;
    const others = permissions.filter((each) => each.key !== key || each.end !== end);
    if (operation.action === 'roleRevokePermission') {
      if (others.length === permissions.length) return 'permissionNotGranted';
      return this.#change(() => this.#roles.set(operation.role, others));
    }
    const sorted = [...others, operation.permission].toSorted((a, b) => compare(a.key, b.key) || compare(a.end, b.end));
    return this.#change(() => this.#roles.set(operation.role, sorted));
  }

  #updateUser(name: string, update: (user: User) => User | ServerErrorCode): ServerErrorCode | undefined {
    const user = this.#users.get(name);
    if (user === undefined) return 'userNotFound';
    const updated = update(user);
    if (typeof updated === 'string') return updated;
    return this.#change(() => this.#users.set(name, updated));
  }

  #change(apply: () => void): undefined {
    apply();
    this.#revision++;
    this.#rights.clear();
  }

  #rightsOf(name: string): Rights {
    let rights = this.#rights.get(name);
    if (rights === undefined) {
      const permissions = (this.#users.get(name)?.roles ?? []).flatMap((role) => this.role(role) ?? []);
      rights = {
        read: new KeySet(permissions.filter((each) => each.permission !== 'WRITE')),
        write: new KeySet(permissions.filter((each) => each.permission !== 'READ')),
      };
      this.#rights.set(name, rights);
    }
    return rights;
  }
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
