/** Messages of etcd's Auth service in protobuf's JSON mapping, as a server reads and writes them. */
import { Buffer } from 'node:buffer';
import { booleanOf, bytesOf, enumOf, field, objectOf, stringOf } from './json-fields.ts';
import type { AuthPermission, AuthPermissionType, ResponseHeader } from './messages.ts';
import { encodeHeader } from './response-codec.ts';

const noBytes = Buffer.alloc(0);
const permissionTypes: readonly [AuthPermissionType, ...AuthPermissionType[]] = ['READ', 'WRITE', 'READWRITE'];

export function decodeAuthUserAddRequest(value: unknown): {
  readonly name: string;
  readonly password: string;
  readonly noPassword: boolean;
} {
  const source = objectOf(value, 'etcdserverpb.AuthUserAddRequest');
  const options = objectOf(source.options, 'authpb.UserAddOptions');
  return {
    name: stringOf(source.name),
    password: stringOf(source.password),
    noPassword: booleanOf(field(options, 'no_password', 'noPassword')),
  };
}

/** AuthenticateRequest and AuthUserChangePasswordRequest. */
export function decodeAuthPasswordRequest(value: unknown): { readonly name: string; readonly password: string } {
  const source = objectOf(value, 'etcdserverpb.AuthenticateRequest');
  return { name: stringOf(source.name), password: stringOf(source.password) };
}

/** AuthUserGetRequest, AuthUserDeleteRequest and AuthRoleAddRequest. */
export function decodeAuthNameRequest(value: unknown): { readonly name: string } {
  return { name: stringOf(objectOf(value, 'etcdserverpb.AuthUserGetRequest').name) };
}

/** AuthRoleGetRequest and AuthRoleDeleteRequest. */
export function decodeAuthRoleRequest(value: unknown): { readonly role: string } {
  return { role: stringOf(objectOf(value, 'etcdserverpb.AuthRoleGetRequest').role) };
}

/** AuthUserGrantRoleRequest and AuthUserRevokeRoleRequest, which call the user `user` and `name`. */
export function decodeAuthUserRoleRequest(value: unknown): { readonly name: string; readonly role: string } {
  const source = objectOf(value, 'etcdserverpb.AuthUserGrantRoleRequest');
  return { name: stringOf(source.user) || stringOf(source.name), role: stringOf(source.role) };
}

export function decodeAuthRoleGrantPermissionRequest(value: unknown): {
  readonly role: string;
  /** Undefined: none was given. */
  readonly permission: AuthPermission | undefined;
} {
  const source = objectOf(value, 'etcdserverpb.AuthRoleGrantPermissionRequest');
  const role = stringOf(source.name);
  if (source.perm === undefined || source.perm === null) return { role, permission: undefined };
  const permission = objectOf(source.perm, 'authpb.Permission');
  return {
    role,
    permission: {
      permType: enumOf(permission.permType, permissionTypes, 'authpb.Permission_Type'),
      key: bytesOf(permission.key) ?? noBytes,
      rangeEnd: bytesOf(field(permission, 'range_end', 'rangeEnd')) ?? noBytes,
    },
  };
}

export function decodeAuthRoleRevokePermissionRequest(value: unknown): {
  readonly role: string;
  readonly key: Buffer;
  readonly rangeEnd: Buffer;
} {
  const source = objectOf(value, 'etcdserverpb.AuthRoleRevokePermissionRequest');
  return {
    role: stringOf(source.role),
    key: bytesOf(source.key) ?? noBytes,
    rangeEnd: bytesOf(field(source, 'range_end', 'rangeEnd')) ?? noBytes,
  };
}

export function encodeAuthenticateResponse(response: {
  readonly header: ResponseHeader;
  readonly token: string;
}): string {
  return `{"header":${encodeHeader(response.header)},"token":${JSON.stringify(response.token)}}`;
}

/** AuthUserGetResponse, AuthUserListResponse and AuthRoleListResponse: a header and a list of names. */
export function encodeAuthNamesResponse(
  name: 'roles' | 'users',
  response: { readonly header: ResponseHeader; readonly names: readonly string[] },
): string {
  const names = response.names.length === 0 ? '' : `,"${name}":${JSON.stringify(response.names)}`;
  return `{"header":${encodeHeader(response.header)}${names}}`;
}

export function encodeAuthRoleGetResponse(response: {
  readonly header: ResponseHeader;
  readonly permissions: readonly AuthPermission[];
}): string {
  const permissions = response.permissions.map(({ permType, key, rangeEnd }) => {
    const members = [
      ...(permType === 'READ' ? [] : [`"permType":"${permType}"`]),
      ...(key.length === 0 ? [] : [`"key":"${key.toString('base64')}"`]),
      ...(rangeEnd.length === 0 ? [] : [`"range_end":"${rangeEnd.toString('base64')}"`]),
    ];
    return `{${members.join(',')}}`;
  });
  return `{"header":${encodeHeader(response.header)}${permissions.length === 0 ? '' : `,"perm":[${permissions.join(',')}]`}}`;
}

export function encodeAuthStatusResponse(response: {
  readonly header: ResponseHeader;
  readonly enabled: boolean;
  readonly authRevision: number;
}): string {
  const enabled = response.enabled ? ',"enabled":true' : '';
  return `{"header":${encodeHeader(response.header)}${enabled},"authRevision":"${response.authRevision}"}`;
}
