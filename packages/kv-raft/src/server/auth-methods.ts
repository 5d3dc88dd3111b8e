import * as etcd from '@naru/etcd';
import type { AuthServer } from './auth-server.ts';
import type { Credentials } from './auth-guard.ts';

/** Calls that only the root role may make, by gRPC's path and by the gateway's. */
export const adminOnly: ReadonlySet<string> = new Set([
  '/etcdserverpb.Cluster/MemberAdd',
  '/etcdserverpb.Cluster/MemberRemove',
  '/etcdserverpb.Cluster/MemberUpdate',
  '/etcdserverpb.Cluster/MemberPromote',
  '/etcdserverpb.Maintenance/Defragment',
  '/etcdserverpb.Maintenance/Hash',
  '/etcdserverpb.Maintenance/HashKV',
  '/etcdserverpb.Maintenance/Snapshot',
  '/etcdserverpb.Maintenance/MoveLeader',
  '/etcdserverpb.Maintenance/Downgrade',
  '/v3/cluster/member/add',
  '/v3/cluster/member/remove',
  '/v3/cluster/member/update',
  '/v3/cluster/member/promote',
  '/v3/maintenance/defragment',
  '/v3/maintenance/hash',
  '/v3/maintenance/hashkv',
  '/v3/maintenance/snapshot',
  '/v3/maintenance/transfer-leadership',
  '/v3/maintenance/downgrade',
]);

/** What an Auth method answers, before it is encoded for the gateway or for gRPC. */
export type AuthAnswer =
  | { readonly kind: 'header'; readonly header: etcd.ResponseHeader }
  | { readonly kind: 'roles' | 'users'; readonly header: etcd.ResponseHeader; readonly names: readonly string[] }
  | {
      readonly kind: 'permissions';
      readonly header: etcd.ResponseHeader;
      readonly permissions: readonly etcd.AuthPermission[];
    }
  | { readonly kind: 'token'; readonly header: etcd.ResponseHeader; readonly token: string }
  | {
      readonly kind: 'status';
      readonly header: etcd.ResponseHeader;
      readonly enabled: boolean;
      readonly authRevision: number;
    };

export interface AuthMethod {
  readonly grpc: string;
  readonly gateway: string;
  readonly run: (body: unknown, credentials: Credentials) => Promise<AuthAnswer>;
}

/** etcd's Auth service, method by method. */
export function authMethods(auth: AuthServer): readonly AuthMethod[] {
  return [...userMethods(auth), ...roleMethods(auth), ...stateMethods(auth)];
}

function method(name: string, gateway: string, run: AuthMethod['run']): AuthMethod {
  return { grpc: `/etcdserverpb.Auth/${name}`, gateway: `/v3/auth/${gateway}`, run };
}

type Change = Parameters<AuthServer['change']>[0];

/** A method that makes a change and answers with a header. */
function change(auth: AuthServer, name: string, gateway: string, operation: (body: unknown) => Change): AuthMethod {
  return method(name, gateway, async (body, who) => ({
    kind: 'header',
    ...(await auth.change(operation(body), who)),
  }));
}

function userMethods(auth: AuthServer): AuthMethod[] {
  return [
    method('UserAdd', 'user/add', async (body, who) => ({
      kind: 'header',
      ...(await auth.userAdd(etcd.decodeAuthUserAddRequest(body), who)),
    })),
    method('UserGet', 'user/get', async (body, who) => ({
      kind: 'roles',
      ...(await auth.userGet(etcd.decodeAuthNameRequest(body).name, who)),
    })),
    method('UserList', 'user/list', async (_body, who) => ({ kind: 'users', ...(await auth.userList(who)) })),
    change(auth, 'UserDelete', 'user/delete', (body) => ({
      action: 'userDelete',
      ...etcd.decodeAuthNameRequest(body),
    })),
    method('UserChangePassword', 'user/changepw', async (body, who) => ({
      kind: 'header',
      ...(await auth.userChangePassword(etcd.decodeAuthPasswordRequest(body), who)),
    })),
    change(auth, 'UserGrantRole', 'user/grant', (body) => ({
      action: 'userGrantRole',
      ...etcd.decodeAuthUserRoleRequest(body),
    })),
    change(auth, 'UserRevokeRole', 'user/revoke', (body) => ({
      action: 'userRevokeRole',
      ...etcd.decodeAuthUserRoleRequest(body),
    })),
  ];
}

function roleMethods(auth: AuthServer): AuthMethod[] {
  return [
    change(auth, 'RoleAdd', 'role/add', (body) => ({
      action: 'roleAdd',
      role: etcd.decodeAuthNameRequest(body).name,
    })),
    method('RoleGet', 'role/get', async (body, who) => ({
      kind: 'permissions',
      ...(await auth.roleGet(etcd.decodeAuthRoleRequest(body).role, who)),
    })),
    method('RoleList', 'role/list', async (_body, who) => ({ kind: 'roles', ...(await auth.roleList(who)) })),
    change(auth, 'RoleDelete', 'role/delete', (body) => ({
      action: 'roleDelete',
      ...etcd.decodeAuthRoleRequest(body),
    })),
    method('RoleGrantPermission', 'role/grant', async (body, who) => ({
      kind: 'header',
      ...(await auth.roleGrantPermission(etcd.decodeAuthRoleGrantPermissionRequest(body), who)),
    })),
    change(auth, 'RoleRevokePermission', 'role/revoke', (body) => {
      const { role, key, rangeEnd } = etcd.decodeAuthRoleRevokePermissionRequest(body);
      return { action: 'roleRevokePermission', role, key: key.toString('latin1'), end: rangeEnd.toString('latin1') };
    }),
  ];
}

function stateMethods(auth: AuthServer): AuthMethod[] {
  return [
    change(auth, 'AuthEnable', 'enable', () => ({ action: 'enable' })),
    change(auth, 'AuthDisable', 'disable', () => ({ action: 'disable' })),
    method('AuthStatus', 'status', async (_body, who) => ({ kind: 'status', ...(await auth.status(who)) })),
    method('Authenticate', 'authenticate', async (body) => ({
      kind: 'token',
      ...(await auth.authenticate(etcd.decodeAuthPasswordRequest(body))),
    })),
  ];
}

/** As the gateway's JSON. */
export function encodeAuthAnswer(answer: AuthAnswer): string {
  switch (answer.kind) {
    case 'header':
      return etcd.encodeHeaderResponse(answer);
    case 'roles':
    case 'users':
      return etcd.encodeAuthNamesResponse(answer.kind, answer);
    case 'permissions':
      return etcd.encodeAuthRoleGetResponse(answer);
    case 'token':
      return etcd.encodeAuthenticateResponse(answer);
    case 'status':
      return etcd.encodeAuthStatusResponse(answer);
    default:
      return answer satisfies never;
  }
}
