import fc from 'fast-check';
import type {
  Comparison,
  DeleteRangeOperation,
  KeyRange,
  Operation,
  PutOperation,
  TxnOperation,
} from '../../src/mvcc/operation.ts';
import { checkRequest } from '../../src/mvcc/request.ts';

/** Few keys, so that they meet; with the least and the greatest byte. */
const key = fc.constantFrom('a', 'b', 'b\0', 'b/1', 'b/2', 'c', '\0', '\xff');
const end = fc.constantFrom('', '', '\0', 'b', 'b0', 'c', '\xff');
const value = fc.constantFrom('', 'x', 'y', 'zz');
const lease = fc.constantFrom(0n, 0n, 0n, 1n, 2n);
const revision = fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.nat({ max: 25 }) });
const filter = fc.oneof(
  { weight: 4, arbitrary: fc.constant(0) },
  { weight: 1, arbitrary: fc.integer({ min: 1, max: 25 }) },
);

export const keyRange: fc.Arbitrary<KeyRange> = fc.record({ key, end });

export const put: fc.Arbitrary<PutOperation> = fc
  .record({ key, value, lease, prevKv: fc.boolean(), ignore: fc.constantFrom('', '', '', 'value', 'lease') })
  .map(({ ignore, value, lease, ...rest }) => ({
    type: 'put',
    ...rest,
    value: Buffer.from(ignore === 'value' ? '' : value),
    lease: ignore === 'lease' ? 0n : lease,
    ignoreValue: ignore === 'value',
    ignoreLease: ignore === 'lease',
  }));

export const deleteRange: fc.Arbitrary<DeleteRangeOperation> = fc
  .record({ key, end, prevKv: fc.boolean() })
  .map((fields) => ({ type: 'deleteRange', ...fields }));

/** In the order of the keys: the model does not sort otherwise. */
export const range = fc
  .record({
    key,
    end,
    limit: fc.constantFrom(0, 0, 1, 2),
    revision,
    keysOnly: fc.constant(false),
    countOnly: fc.boolean(),
    minModRevision: filter,
    maxModRevision: filter,
    minCreateRevision: filter,
    maxCreateRevision: filter,
  })
  .map((fields) => ({ type: 'range', sortOrder: 'NONE', sortTarget: 'KEY', ...fields }) as const);

const comparison: fc.Arbitrary<Comparison> = fc
  .record({
    key,
    end,
    result: fc.constantFrom('EQUAL', 'NOT_EQUAL', 'GREATER', 'LESS'),
    operand: fc.oneof(
      fc.record({ target: fc.constantFrom('VERSION', 'CREATE', 'MOD'), operand: fc.nat({ max: 20 }) }),
      fc.record({ target: fc.constant('LEASE'), operand: lease }),
      fc.record({ target: fc.constant('VALUE'), operand: value.map((text) => Buffer.from(text)) }),
    ),
  })
  .map(({ operand, ...rest }) => ({ ...rest, ...operand }));

const { txn } = fc.letrec<{ txn: TxnOperation; operation: Operation }>((tie) => ({
  operation: fc.oneof({ maxDepth: 3, withCrossShrink: true }, put, put, deleteRange, range, tie('txn')),
  txn: fc
    .record({
      compare: fc.array(comparison, { maxLength: 3 }),
      success: fc.array(tie('operation'), { maxLength: 4 }),
      failure: fc.array(tie('operation'), { maxLength: 4 }),
    })
    .map((fields) => ({ type: 'txn', ...fields })),
}));

/** Txns that the checks at the edge let through. */
export const validTxn: fc.Arbitrary<TxnOperation> = txn.filter(
  (each) => checkRequest(each, { txnOpsMax: 128 }) === undefined,
);

export type Step =
  | { readonly type: 'operation'; readonly operation: Operation }
  | { readonly type: 'compact'; readonly share: number }
  | { readonly type: 'compactStep' }
  | { readonly type: 'grant' | 'revoke'; readonly id: bigint };

export const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.oneof(put, deleteRange, range).map((operation) => ({ type: 'operation', operation })) },
  { weight: 6, arbitrary: validTxn.map((operation) => ({ type: 'operation', operation })) },
  { weight: 1, arbitrary: fc.double({ min: 0, max: 1.1, noNaN: true }).map((share) => ({ type: 'compact', share })) },
  { weight: 1, arbitrary: fc.constant({ type: 'compactStep' }) },
  {
    weight: 2,
    arbitrary: fc.record({ type: fc.constantFrom('grant', 'revoke'), id: fc.constantFrom(1n, 2n) }),
  },
) as fc.Arbitrary<Step>;
