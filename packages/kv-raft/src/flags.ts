import { parseDuration, UsageError, type FlagTable, type FlagValues } from '@naru/component';
import { parseAuthToken } from './auth-token-flag.ts';
import type { AutoCompaction } from './server/auto-compactor.ts';
import { BCRYPT_COST_DEFAULT, BCRYPT_COST_MAX, BCRYPT_COST_MIN } from './server/passwords.ts';

const MEBIBYTE = 1024 * 1024;

/** etcd's flags, by etcd's names, with etcd's defaults. */
export const flags = {
  name: { type: 'string', default: 'default', description: 'Human-readable name of this member.' },
  'data-dir': { type: 'string', description: 'Path of the data directory. Default: NAME.etcd.' },
  'listen-client-urls': {
    type: 'list',
    default: ['http://localhost:2379'],
    description: 'URLs to serve clients on.',
  },
  'advertise-client-urls': {
    type: 'list',
    default: ['http://localhost:2379'],
    description: "This member's client URLs, as the other members and clients see them.",
  },
  'listen-peer-urls': { type: 'list', default: ['http://localhost:2380'], description: 'URLs to serve members on.' },
  'initial-advertise-peer-urls': {
    type: 'list',
    default: ['http://localhost:2380'],
    description: "This member's peer URLs, as the other members see them.",
  },
  'initial-cluster': {
    type: 'list',
    description: 'The first members: NAME=PEER-URL, comma-separated. Default: this member alone.',
  },
  'initial-cluster-state': {
    type: 'string',
    default: 'new',
    values: ['new', 'existing'],
    description: 'Whether the cluster is being made, or is there and this member was added to it.',
  },
  'strict-reconfig-check': {
    type: 'boolean',
    default: true,
    description: 'Refuse changes of the members that would lose the quorum.',
  },
  'initial-cluster-token': {
    type: 'string',
    default: 'etcd-cluster',
    description: 'Tells clusters apart that are made of the same addresses.',
  },
  'heartbeat-interval': {
    type: 'duration',
    default: 100,
    description: 'Time between heartbeats of the leader, in milliseconds.',
  },
  'election-timeout': {
    type: 'duration',
    default: 1000,
    description: 'Silence of the leader after which a member stands for election, in milliseconds.',
  },
  'snapshot-count': {
    type: 'integer',
    default: 100_000,
    min: 1,
    description: 'Number of committed transactions that trigger a snapshot to disk.',
  },
  'quota-backend-bytes': {
    type: 'integer',
    default: 0,
    min: 0,
    description: 'Raise the NOSPACE alarm when the store is larger than this many bytes (0: 2 GiB).',
  },
  'auto-compaction-mode': {
    type: 'string',
    default: 'periodic',
    values: ['periodic', 'revision'],
    description: "What --auto-compaction-retention counts: 'periodic' for time, 'revision' for revisions.",
  },
  'auto-compaction-retention': {
    type: 'string',
    default: '0',
    description: 'How much history is kept: a duration (or a number of hours), or a number of revisions. 0: all.',
  },
  'experimental-initial-corrupt-check': {
    type: 'boolean',
    default: true,
    description: "Compare this member's keys with the other members' when it starts.",
  },
  'experimental-compact-hash-check-enabled': {
    type: 'boolean',
    default: true,
    description: "Compare the members' keys after compactions.",
  },
  'experimental-compact-hash-check-time': {
    type: 'duration',
    default: 60_000,
    description: 'How often the leader looks whether there was a compaction to compare after.',
  },
  'experimental-corrupt-check-time': {
    type: 'duration',
    default: 0,
    description: "How often the leader compares the members' keys in any case. 0: never.",
  },
  'max-txn-ops': { type: 'integer', default: 128, min: 1, description: 'Operations permitted in a transaction.' },
  'max-request-bytes': {
    type: 'integer',
    default: 1.5 * MEBIBYTE,
    min: 1,
    description: 'Maximum size of a request in bytes.',
  },
  'listen-metrics-urls': { type: 'list', default: [], description: 'More URLs for /metrics and /health.' },
  'cert-file': { type: 'string', description: "The client server's certificate." },
  'key-file': { type: 'string', description: "The client server's key." },
  'client-cert-auth': {
    type: 'boolean',
    default: false,
    description: 'Accept only clients with a certificate of the trusted CA.',
  },
  'trusted-ca-file': { type: 'string', description: "The CA of clients' certificates." },
  'peer-cert-file': { type: 'string', description: "This member's certificate towards other members." },
  'peer-key-file': { type: 'string', description: "This member's key towards other members." },
  'peer-client-cert-auth': {
    type: 'boolean',
    default: false,
    description: 'Accept only members with a certificate of the trusted CA.',
  },
  'peer-trusted-ca-file': { type: 'string', description: "The CA of members' certificates." },
  'auth-token': {
    type: 'string',
    default: 'simple',
    description:
      "What authenticated users hold: 'simple', or 'jwt,sign-method=M,pub-key=FILE,priv-key=FILE,ttl=DURATION'.",
  },
  'auth-token-ttl': {
    type: 'integer',
    default: 300,
    min: 1,
    description: 'How long a simple token lives without use, in seconds.',
  },
  'bcrypt-cost': {
    type: 'integer',
    default: BCRYPT_COST_DEFAULT,
    min: BCRYPT_COST_MIN,
    description: `Cost of hashing passwords, from ${BCRYPT_COST_MIN} to ${BCRYPT_COST_MAX}. Hashes are scrypt's, as costly as bcrypt's.`,
  },
  'pre-vote': { type: 'boolean', default: true, description: 'Accepted; members always vote beforehand.' },
  logger: { type: 'string', default: 'pino', values: ['pino', 'zap'], description: 'Accepted; logs are JSON lines.' },
} as const satisfies FlagTable;

/** etcd's flags that kv-raft lacks: refused, not ignored. */
export const unsupportedFlags: readonly string[] = [
  'auto-tls',
  'backend-batch-interval',
  'backend-batch-limit',
  'cipher-suites',
  'client-cert-allowed-hostname',
  'client-crl-file',
  'config-file',
  'cors',
  'debug',
  'discovery',
  'discovery-fallback',
  'discovery-proxy',
  'discovery-srv',
  'discovery-srv-name',
  'enable-grpc-gateway',
  'enable-pprof',
  'enable-v2',
  'experimental-backend-bbolt-freelist-type',
  'experimental-compaction-batch-limit',
  'experimental-enable-lease-checkpoint',
  'experimental-enable-v2v3',
  'experimental-peer-skip-client-san-verification',
  'experimental-warning-apply-duration',
  'experimental-watch-progress-notify-interval',
  'force-new-cluster',
  'grpc-keepalive-interval',
  'grpc-keepalive-min-time',
  'grpc-keepalive-timeout',
  'host-whitelist',
  'initial-election-tick-advance',
  'log-outputs',
  'log-package-levels',
  'max-concurrent-streams',
  'max-snapshots',
  'max-wals',
  'metrics',
  'peer-auto-tls',
  'peer-cert-allowed-cn',
  'peer-cert-allowed-hostname',
  'peer-crl-file',
  'proxy',
  'proxy-dial-timeout',
  'proxy-failure-wait',
  'proxy-read-timeout',
  'proxy-refresh-interval',
  'proxy-write-timeout',
  'socket-reuse-address',
  'socket-reuse-port',
  'tls-max-version',
  'tls-min-version',
  'unsafe-no-fsync',
  'wal-dir',
];

export type Flags = FlagValues<typeof flags>;

/** Those that say who the first members are. */
export type InitialFlags = Pick<Flags, 'name' | 'initial-cluster' | 'initial-advertise-peer-urls'>;

export interface ParsedUrl {
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
}

/** @throws UsageError that names the flag */
export function parseUrls(flag: keyof Flags, urls: readonly string[]): ParsedUrl[] {
  return urls.map((text) => {
    const url = URL.canParse(text) ? new URL(text) : undefined;
    if (url === undefined || (url.protocol !== 'http:' && url.protocol !== 'https:'))
      throw new UsageError(
        `invalid argument ${JSON.stringify(text)} for "--${flag}" flag: must be an http or https URL`,
      );
    const tls = url.protocol === 'https:';
    return {
      host: url.hostname.replace(/^\[|\]$/gu, ''),
      port: url.port === '' ? (tls ? 443 : 80) : Number(url.port),
      tls,
    };
  });
}

export interface InitialMember {
  readonly name: string;
  readonly peerUrls: readonly string[];
}

/** The first members by name; a name may come several times, once for each URL. */
export function parseInitialCluster(values: InitialFlags): InitialMember[] {
  const given =
    values['initial-cluster'] ?? values['initial-advertise-peer-urls'].map((url) => `${values.name}=${url}`);
  const members = new Map<string, string[]>();
  for (const each of given) {
    const [, name, url] = /^([^=]+)=(.+)$/u.exec(each) ?? [];
    if (name === undefined || url === undefined || !URL.canParse(url))
      throw new UsageError(`invalid argument ${JSON.stringify(each)} for "--initial-cluster" flag: must be NAME=URL`);
    members.set(name, [...(members.get(name) ?? []), url]);
  }
  return Array.from(members, ([name, peerUrls]) => ({ name, peerUrls }));
}

/** What must fit when a member begins; later, its data dir says who it is. @throws UsageError that names the flag */
export function checkInitialCluster(values: InitialFlags, members: readonly InitialMember[]): void {
  const own = members.find(({ name }) => name === values.name);
  if (own === undefined)
    throw new UsageError(`flag --initial-cluster does not name this member, --name ${JSON.stringify(values.name)}`);
  if (own.peerUrls.toSorted().join() !== values['initial-advertise-peer-urls'].toSorted().join())
    throw new UsageError('flags --initial-cluster and --initial-advertise-peer-urls differ about this member');
}

/** Undefined: no auto compaction. @throws UsageError that names the flag */
export function parseAutoCompaction(values: Flags): AutoCompaction | undefined {
  const text = values['auto-compaction-retention'];
  const bad = new UsageError(`invalid argument ${JSON.stringify(text)} for "--auto-compaction-retention" flag`);
  const isNumber = /^\d+$/u.test(text);
  if (values['auto-compaction-mode'] === 'revision') {
    if (!isNumber) throw bad;
    return text === '0' ? undefined : { mode: 'revision', retention: Number(text) };
  }
  const retentionMs = isNumber ? Number(text) * 3_600_000 : parseDuration(text);
  if (retentionMs === undefined || retentionMs < 0) throw bad;
  return retentionMs === 0 ? undefined : { mode: 'periodic', retentionMs };
}

export const QUOTA_BACKEND_BYTES_DEFAULT = 2048 * MEBIBYTE;

/** What the flags cannot say one by one. @throws UsageError that names the flag */
export function checkFlags(values: Flags): void {
  if (values['election-timeout'] < 5 * values['heartbeat-interval'])
    throw new UsageError('--election-timeout must be at least 5 times --heartbeat-interval');
  for (const [urls, certFlag, keyFlag, caFlag, authFlag] of [
    ['listen-client-urls', 'cert-file', 'key-file', 'trusted-ca-file', 'client-cert-auth'],
    ['listen-peer-urls', 'peer-cert-file', 'peer-key-file', 'peer-trusted-ca-file', 'peer-client-cert-auth'],
  ] as const) {
    const tls = parseUrls(urls, values[urls]).some((each) => each.tls);
    if (tls && (values[certFlag] === undefined || values[keyFlag] === undefined))
      throw new UsageError(`https in --${urls} needs --${certFlag} and --${keyFlag}`);
    if (values[authFlag] && values[caFlag] === undefined) throw new UsageError(`--${authFlag} needs --${caFlag}`);
  }
  if (!values['pre-vote']) throw new UsageError('--pre-vote=false is not supported');
  parseAuthToken(values['auth-token']);
  if (values['bcrypt-cost'] > BCRYPT_COST_MAX) throw new UsageError(`--bcrypt-cost must be at most ${BCRYPT_COST_MAX}`);
  parseUrls('listen-metrics-urls', values['listen-metrics-urls']);
  parseUrls('advertise-client-urls', values['advertise-client-urls']);
  parseUrls('initial-advertise-peer-urls', values['initial-advertise-peer-urls']);
}
