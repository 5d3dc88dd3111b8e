import type { ServerErrorCode } from '@naru/etcd';
import type { LeaseStore } from '../lease/lease-store.ts';
import type { Command } from '../mvcc/command.ts';
import type { Comparison, Operation, TxnOperation } from '../mvcc/operation.ts';
import type { AuthInfo, AuthStore } from './auth-store.ts';

/** What access is decided by. */
export interface AccessContext {
  readonly auth: AuthStore;
  readonly leases: LeaseStore;
}

type Verdict = ServerErrorCode | undefined;

/** Whether `info` may do what `operation` says, both branches of a txn included; a code says why not. */
export function refuseOperation(context: AccessContext, info: AuthInfo | undefined, operation: Operation): Verdict {
  const { auth, leases } = context;
  if (!auth.enabled) return undefined;
  switch (operation.type) {
    case 'range':
      return auth.refuseRange(info, operation, 'read');
    case 'put': {
      const range = { key: operation.key, end: '' };
      return (
        auth.refuseRange(info, range, 'write') ??
        // A lease that holds keys of others could not be revoked by this user.
        refuseLease(context, info, operation.lease) ??
        (operation.prevKv ? auth.refuseRange(info, range, 'read') : undefined)
      );
    }
    case 'deleteRange':
      return (
        auth.refuseRange(info, operation, 'write') ??
        (operation.prevKv ? auth.refuseRange(info, operation, 'read') : undefined)
      );
    case 'txn':
      return refuseTxn({ auth, leases }, info, operation);
    default:
      return operation satisfies never;
  }
}

function refuseTxn(context: AccessContext, info: AuthInfo | undefined, txn: TxnOperation): Verdict {
  // Also one that touches no key needs a user.
  const stranger = context.auth.refuseStranger(info);
  if (stranger !== undefined) return stranger;
  const comparison = (each: Comparison): Verdict => context.auth.refuseRange(info, each, 'read');
  const operation = (each: Operation): Verdict => refuseOperation(context, info, each);
  return firstOf(txn.compare, comparison) ?? firstOf(txn.success, operation) ?? firstOf(txn.failure, operation);
}

/** Whether `info` may write all keys of a lease. */
function refuseLease({ auth, leases }: AccessContext, info: AuthInfo | undefined, id: bigint): Verdict {
  const lease = id === 0n ? undefined : leases.get(id);
  return lease === undefined
    ? undefined
    : firstOf(lease.keys, (key) => auth.refuseRange(info, { key, end: '' }, 'write'));
}

/** Whether `info` may be told the keys of a lease. */
export function refuseLeaseKeys({ auth, leases }: AccessContext, info: AuthInfo | undefined, id: bigint): Verdict {
  return (
    auth.refuseStranger(info) ??
    firstOf(leases.get(id)?.keys ?? [], (key) => auth.refuseRange(info, { key, end: '' }, 'read'))
  );
}

/** Whether `info` may have `command` applied. Looked at when it is applied, so that a right that was taken away meanwhile is gone. */
export function refuseCommand(context: AccessContext, info: AuthInfo | undefined, command: Command): Verdict {
  const { auth } = context;
  if (!auth.enabled) return undefined;
  switch (command.type) {
    case 'put':
    case 'deleteRange':
    case 'txn':
      return refuseOperation(context, info, command);
    case 'compaction':
    case 'leaseGrant':
      return auth.refuseStranger(info);
    case 'leaseRevoke':
    case 'leaseExpire':
      return auth.refuseStranger(info) ?? refuseLease(context, info, command.id);
    case 'leaseKeepAlive':
      // As in etcd: who knows the id of a lease may keep it alive.
      return undefined;
    case 'alarm':
      return auth.refuseAdmin(info);
    case 'auth':
      return command.operation.action === 'authenticate' ? undefined : auth.refuseAdmin(info);
    default:
      return command satisfies never;
  }
}

function firstOf<T>(items: Iterable<T>, verdict: (item: T) => Verdict): Verdict {
  for (const item of items) {
    const refused = verdict(item);
    if (refused !== undefined) return refused;
  }
  return undefined;
}
