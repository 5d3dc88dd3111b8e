/**
 * Changes of users, roles and permissions as they stand in the Raft log.
 *
 *   operation        = kind:u8  body
 *   enable, disable  = (nothing)
 *   userAdd          = name:text  passwordHash:text ('' for a user without password)
 *   userDelete       = name:text
 *   userChangePassword = name:text  passwordHash:text
 *   userGrantRole    = name:text  role:text      userRevokeRole = name:text  role:text
 *   roleAdd          = role:text                 roleDelete = role:text
 *   roleGrantPermission  = role:text  type:u8 (0 READ, 1 WRITE, 2 READWRITE)  key:bytes  end:bytes
 *   roleRevokePermission = role:text  key:bytes  end:bytes
 *   authenticate     = name:text  tokenPrefix:text
 *
 *   text = UTF-8 as bytes
 */
import { Buffer } from 'node:buffer';
import type { BinaryReader, BinaryWriter } from '../mvcc/binary.ts';
import { permissionTypes, type Permission } from './permission.ts';

export type AuthOperation =
  | { readonly action: 'enable' | 'disable' }
  /** An empty hash is no password at all: such a user cannot authenticate by one. */
  | { readonly action: 'userAdd' | 'userChangePassword'; readonly name: string; readonly passwordHash: string }
  | { readonly action: 'userDelete'; readonly name: string }
  | { readonly action: 'userGrantRole' | 'userRevokeRole'; readonly name: string; readonly role: string }
  | { readonly action: 'roleAdd' | 'roleDelete'; readonly role: string }
  | { readonly action: 'roleGrantPermission'; readonly role: string; readonly permission: Permission }
  | { readonly action: 'roleRevokePermission'; readonly role: string; readonly key: string; readonly end: string }
  /** Every member gives the user the token `tokenPrefix.index`, index being that of the log entry. */
  | { readonly action: 'authenticate'; readonly name: string; readonly tokenPrefix: string };

const kinds = [
  'enable',
  'disable',
  'userAdd',
  'userDelete',
  'userChangePassword',
  'userGrantRole',
  'userRevokeRole',
  'roleAdd',
  'roleDelete',
  'roleGrantPermission',
  'roleRevokePermission',
  'authenticate',
] as const satisfies readonly AuthOperation['action'][];

export function writeText(writer: BinaryWriter, text: string): void {
  writer.bytes(Buffer.from(text));
}

export function readText(reader: BinaryReader): string {
  return reader.bytes().toString();
}

export function writePermission(writer: BinaryWriter, permission: Permission): void {
  writer.u8(permissionTypes.indexOf(permission.permission));
  writer.latin1(permission.key);
  writer.latin1(permission.end);
}

/** @throws RangeError for bytes that are no permission */
export function readPermission(reader: BinaryReader): Permission {
  const permission = permissionTypes[reader.u8()];
  if (permission === undefined) throw new RangeError('auth: unknown type of permission');
  return { permission, key: reader.latin1(), end: reader.latin1() };
}

export function writeAuthOperation(writer: BinaryWriter, operation: AuthOperation): void {
  writer.u8(kinds.indexOf(operation.action));
  switch (operation.action) {
    case 'enable':
    case 'disable':
      break;
    case 'userAdd':
    case 'userChangePassword':
      writeText(writer, operation.name);
      writeText(writer, operation.passwordHash);
      break;
    case 'userDelete':
      writeText(writer, operation.name);
      break;
    case 'userGrantRole':
    case 'userRevokeRole':
      writeText(writer, operation.name);
      writeText(writer, operation.role);
      break;
    case 'roleAdd':
    case 'roleDelete':
      writeText(writer, operation.role);
      break;
    case 'roleGrantPermission':
      writeText(writer, operation.role);
      writePermission(writer, operation.permission);
      break;
    case 'roleRevokePermission':
      writeText(writer, operation.role);
      writer.latin1(operation.key);
      writer.latin1(operation.end);
      break;
    case 'authenticate':
      writeText(writer, operation.name);
      writeText(writer, operation.tokenPrefix);
      break;
    default:
      operation satisfies never;
  }
}

/** @throws RangeError for bytes that are no operation */
export function readAuthOperation(reader: BinaryReader): AuthOperation {
  const action = kinds[reader.u8()];
  switch (action) {
    case 'enable':
    case 'disable':
      return { action };
    case 'userAdd':
    case 'userChangePassword':
      return { action, name: readText(reader), passwordHash: readText(reader) };
    case 'userDelete':
      return { action, name: readText(reader) };
    case 'userGrantRole':
    case 'userRevokeRole':
      return { action, name: readText(reader), role: readText(reader) };
    case 'roleAdd':
    case 'roleDelete':
      return { action, role: readText(reader) };
    case 'roleGrantPermission':
      return { action, role: readText(reader), permission: readPermission(reader) };
    case 'roleRevokePermission':
      return { action, role: readText(reader), key: reader.latin1(), end: reader.latin1() };
    case 'authenticate':
      return { action, name: readText(reader), tokenPrefix: readText(reader) };
    case undefined:
      throw new RangeError('auth: unknown operation');
    default:
      return action satisfies never;
  }
}
