/** Requests to the gateway, in order, each with a body that is sent as it stands. Keys and values are given as text. */
export interface CorpusRequest {
  readonly path: string;
  readonly body: string;
}

/** Marks text that becomes base64. */
type Fields = { readonly [name: string]: unknown };

const b = (text: string): string => Buffer.from(text, 'latin1').toString('base64');
const call = (path: string, fields: Fields): CorpusRequest => ({ path: `/v3/${path}`, body: JSON.stringify(fields) });
const range = (fields: Fields): CorpusRequest => call('kv/range', fields);
const put = (key: string, value: string, fields: Fields = {}): CorpusRequest =>
  call('kv/put', { key: b(key), value: b(value), ...fields });
const deleteRange = (fields: Fields): CorpusRequest => call('kv/deleterange', fields);
const txn = (fields: Fields): CorpusRequest => call('kv/txn', fields);
const all = { key: b('\0'), range_end: b('\0') };
const requestPut = (key: string, value = 'x', fields: Fields = {}): Fields => ({
  request_put: { key: b(key), value: b(value), ...fields },
});
const requestRange = (fields: Fields): Fields => ({ request_range: fields });
const requestDelete = (key: string, end?: string): Fields => ({
  request_delete_range: { key: b(key), ...(end === undefined ? {} : { range_end: b(end) }), prev_kv: true },
});
const compare = (target: string, result: string, key: string, fields: Fields): Fields => ({
  target,
  result,
  key: b(key),
  ...fields,
});

const puts: readonly CorpusRequest[] = [
  range(all),
  put('a', '1'),
  put('a', '2', { prev_kv: true }),
  put('b', '', { prevKv: true }),
  put('c/1', 'x'),
  put('c/2', 'w'),
  put('c/3', 'v'),
  put('\u00ff\u0000\u0001', 'binary\u0000\u00ff'),
  put('a', '', { ignore_value: true, prev_kv: true }),
  put('a', 'both', { ignore_value: true }),
  put('missing', '', { ignore_value: true }),
  put('missing', '', { ignoreLease: true }),
  put('a', 'x', { lease: '404' }),
  put('a', 'x', { ignore_lease: true, lease: 1 }),
  put('', 'x'),
  put('d', 'x', { unknown_field: { a: [1] } }),
  put('d', 'x', { lease: null, prev_kv: null }),
  call('kv/put', { key: b('key-only') }),
];

const ranges: readonly CorpusRequest[] = [
  range({ key: b('a') }),
  range({ key: b('nope') }),
  range({}),
  range(all),
  range({ key: b('c/'), rangeEnd: b('c0') }),
  range({ key: b('c/'), range_end: b('c0'), limit: 2 }),
  range({ key: b('c/'), range_end: b('c0'), limit: '3' }),
  range({ key: b('c/'), range_end: b('c0'), limit: -1 }),
  range({ ...all, limit: 1, count_only: true }),
  range({ ...all, keys_only: true }),
  range({ ...all, countOnly: true }),
  range({ key: b('z'), range_end: b('a') }),
  range({ key: b('b'), range_end: b('\0'), serializable: true }),
  ...['KEY', 'VERSION', 'CREATE', 'MOD', 'VALUE'].flatMap((sort_target) => [
    range({ key: b('c/'), range_end: b('c0'), sort_target, sort_order: 'ASCEND' }),
    range({ key: b('c/'), range_end: b('c0'), sortTarget: sort_target, sortOrder: 'DESCEND', limit: 2 }),
  ]),
  range({ key: b('c/'), range_end: b('c0'), sort_target: 'MOD' }),
  range({ key: b('c/'), range_end: b('c0'), sort_order: 2, sort_target: 3 }),
  range({ ...all, min_mod_revision: 4, maxModRevision: '6' }),
  range({ ...all, min_create_revision: 5, limit: 1 }),
  range({ ...all, max_create_revision: 3 }),
  range({ ...all, revision: 3 }),
  range({ key: b('a'), revision: '2' }),
  range({ ...all, revision: 1 }),
  range({ ...all, revision: 10_000 }),
  range({ ...all, revision: -1 }),
];

const txns: readonly CorpusRequest[] = [
  txn({}),
  txn({ success: [requestPut('t')], failure: [requestPut('u')] }),
  txn({
    compare: [compare('MOD', 'EQUAL', 't', { mod_revision: 0 })],
    success: [requestPut('t')],
    failure: [requestRange({ key: b('t') })],
  }),
  txn({
    compare: [compare('VERSION', 'EQUAL', 't', { version: '1' })],
    success: [requestPut('t', 'y', { prev_kv: true })],
  }),
  txn({
    compare: [compare('CREATE', 'GREATER', 't', { createRevision: 1 })],
    success: [requestRange({ key: b('t') })],
  }),
  txn({ compare: [compare('VALUE', 'EQUAL', 't', { value: b('y') })], success: [requestRange({ key: b('t') })] }),
  txn({
    compare: [compare('VALUE', 'NOT_EQUAL', 'none', { value: b('y') })],
    success: [requestRange({ key: b('t') })],
  }),
  txn({ compare: [compare('VALUE', 'LESS', 't', { value: b('z') })] }),
  txn({ compare: [compare('LEASE', 'EQUAL', 't', { lease: 0 })] }),
  txn({ compare: [compare('VERSION', 'LESS', 'none', { version: 1 })] }),
  txn({ compare: [compare('MOD', 'GREATER', 'none', { mod_revision: 0 })] }),
  txn({ compare: [{ key: b('c/'), range_end: b('c0'), target: 'VERSION', version: 1 }] }),
  txn({ compare: [{ key: b('a'), range_end: b('\0'), target: 'VERSION', result: 'GREATER', version: 1 }] }),
  txn({ compare: [{ key: b('c/1') }] }),
  txn({ compare: [{ target: 'MOD' }] }),
  txn({
    success: [
      requestPut('n1'),
      requestRange({ ...all, count_only: true }),
      {
        request_txn: {
          compare: [compare('VERSION', 'EQUAL', 'n1', { version: 0 })],
          success: [requestPut('n2'), requestRange({ key: b('n2') })],
          failure: [requestPut('n3')],
        },
      },
      requestDelete('c/1', 'c/3'),
      requestRange({ key: b('c/'), range_end: b('c0') }),
    ],
  }),
  txn({ success: [requestDelete('gone')] }),
  txn({ success: [requestDelete('gone'), requestRange({ key: b('a'), keys_only: true })] }),
  txn({ success: [requestPut('x'), requestPut('x')] }),
  txn({ success: [requestPut('x'), requestDelete('w', 'y')] }),
  txn({ success: [requestDelete('w', 'x'), requestPut('x'), requestDelete('y')] }),
  txn({ failure: [requestPut('x'), { request_txn: { success: [requestPut('x')] } }] }),
  txn({ success: [{ request_txn: { success: [requestPut('e')], failure: [requestPut('e')] } }] }),
  txn({ success: [{ request_txn: { success: [requestDelete('e')] } }, requestPut('e')] }),
  txn({ success: [requestPut('e', 'x', { lease: 404 })] }),
  txn({ success: [requestPut('fresh'), requestPut('none', '', { ignore_value: true })] }),
  txn({ success: [requestRange({ key: b('a'), revision: 10_000 })] }),
  txn({ success: [requestPut('e'), requestRange({ key: b('a'), revision: 10_000 })] }),
  txn({ success: [requestPut('')] }),
  txn({ success: [{}] }),
  txn({ success: Array.from({ length: 128 }, (_, i) => requestPut(`many/${i}`)) }),
  txn({ success: Array.from({ length: 129 }, (_, i) => requestPut(`many/${i}`)) }),
  txn({ success: [{ request_txn: { success: Array.from({ length: 128 }, (_, i) => requestPut(`many/${i}`)) } }] }),
];

const deletes: readonly CorpusRequest[] = [
  deleteRange({ key: b('many/'), range_end: b('many0') }),
  deleteRange({ key: b('a'), prev_kv: true }),
  deleteRange({ key: b('a'), prev_kv: true }),
  deleteRange({}),
  deleteRange({ key: b('n'), rangeEnd: b('o'), prevKv: true }),
  range(all),
  put('a', 'again'),
  range({ key: b('a') }),
];

const leases: readonly CorpusRequest[] = [
  call('lease/grant', { TTL: '600', ID: '7' }),
  call('lease/grant', { TTL: 600, ID: 7 }),
  { path: '/v3/lease/grant', body: '{"TTL":600,"ID":100000000000000000000}' },
  { path: '/v3/lease/grant', body: '{"TTL":600,"ID":1.5}' },
  call('lease/grant', { TTL: 9_000_000_001, ID: 8 }),
  call('lease/grant', { TTL: 1, ID: 9 }),
  call('kv/lease/revoke', { ID: 9 }),
  put('leased/1', 'x', { lease: '7' }),
  put('leased/2', 'x', { lease: 7 }),
  put('leased/2', 'y', { ignore_lease: true }),
  range({ key: b('leased/'), range_end: b('leased0') }),
  txn({ compare: [compare('LEASE', 'EQUAL', 'leased/1', { lease: '7' })], success: [requestPut('leased/1', 'free')] }),
  call('lease/timetolive', { ID: 404, keys: true }),
  call('lease/keepalive', { ID: 7 }),
  call('lease/keepalive', { ID: 404 }),
  call('lease/leases', {}),
  call('lease/revoke', { ID: '7' }),
  call('lease/revoke', { ID: '7' }),
  range({ key: b('leased/'), range_end: b('leased0') }),
];

const compactions: readonly CorpusRequest[] = [
  call('kv/compaction', { revision: 5 }),
  call('kv/compaction', { revision: 5 }),
  call('kv/compaction', { revision: 4 }),
  call('kv/compaction', { revision: 1_000_000 }),
  call('kv/compaction', { revision: 12, physical: true }),
  range({ ...all, revision: 11 }),
  range({ ...all, revision: 12 }),
  range(all),
  txn({ success: [requestRange({ key: b('a'), revision: 3 })] }),
];

const malformed: readonly CorpusRequest[] = [
  { path: '/v3/kv/put', body: '' },
  { path: '/v3/kv/put', body: '{"key":"YQ==","value":' },
  call('kv/put', { key: 5 }),
  call('kv/put', { key: '***' }),
  call('kv/put', { key: b('a'), prev_kv: 'yes' }),
  { path: '/v3/nope', body: '{}' },
  { path: '/v3/kv', body: '{}' },
];

export const corpus: readonly CorpusRequest[] = [
  ...puts,
  ...ranges,
  ...txns,
  ...deletes,
  ...leases,
  ...compactions,
  ...malformed,
];
