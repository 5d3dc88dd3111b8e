/** gRPC's status codes, by upstream's names. */
export const grpcCodes = {
  OK: 0,
  Canceled: 1,
  Unknown: 2,
  InvalidArgument: 3,
  DeadlineExceeded: 4,
  NotFound: 5,
  AlreadyExists: 6,
  PermissionDenied: 7,
  ResourceExhausted: 8,
  FailedPrecondition: 9,
  Aborted: 10,
  OutOfRange: 11,
  Unimplemented: 12,
  Internal: 13,
  Unavailable: 14,
  DataLoss: 15,
  Unauthenticated: 16,
} as const;

export type GrpcCodeName = keyof typeof grpcCodes;

/** How etcd 3.4's gateway maps gRPC codes to HTTP. */
export const httpStatusByGrpcCode: Readonly<Record<GrpcCodeName, number>> = {
  OK: 200,
  Canceled: 408,
  Unknown: 500,
  InvalidArgument: 400,
  DeadlineExceeded: 504,
  NotFound: 404,
  AlreadyExists: 409,
  PermissionDenied: 403,
  ResourceExhausted: 429,
  FailedPrecondition: 412,
  Aborted: 409,
  OutOfRange: 400,
  Unimplemented: 501,
  Internal: 500,
  Unavailable: 503,
  DataLoss: 500,
  Unauthenticated: 401,
};

/** etcd's own errors: the code that programs ask for, the gRPC code and the text that go over the wire. */
export const etcdErrors = {
  emptyKey: ['InvalidArgument', 'etcdserver: key is not provided'],
  keyNotFound: ['InvalidArgument', 'etcdserver: key not found'],
  valueProvided: ['InvalidArgument', 'etcdserver: value is provided'],
  leaseProvided: ['InvalidArgument', 'etcdserver: lease is provided'],
  tooManyOps: ['InvalidArgument', 'etcdserver: too many operations in txn request'],
  duplicateKey: ['InvalidArgument', 'etcdserver: duplicate key given in txn request'],
  invalidSortOption: ['InvalidArgument', 'etcdserver: invalid sort option'],
  compacted: ['OutOfRange', 'etcdserver: mvcc: required revision has been compacted'],
  futureRevision: ['OutOfRange', 'etcdserver: mvcc: required revision is a future revision'],
  noSpace: ['ResourceExhausted', 'etcdserver: mvcc: database space exceeded'],
  leaseNotFound: ['NotFound', 'etcdserver: requested lease not found'],
  leaseExists: ['FailedPrecondition', 'etcdserver: lease already exists'],
  leaseTtlTooLarge: ['OutOfRange', 'etcdserver: too large lease TTL'],
  watchCanceled: ['Canceled', 'etcdserver: watch canceled'],
  memberExists: ['FailedPrecondition', 'etcdserver: member ID already exist'],
  peerUrlExists: ['FailedPrecondition', 'etcdserver: Peer URLs already exists'],
  memberNotEnoughStarted: [
    'FailedPrecondition',
    'etcdserver: re-configuration failed due to not enough started members',
  ],
  memberBadUrls: ['InvalidArgument', 'etcdserver: given member URLs are invalid'],
  memberNotFound: ['NotFound', 'etcdserver: member not found'],
  memberNotLearner: ['FailedPrecondition', 'etcdserver: can only promote a learner member'],
  learnerNotReady: ['FailedPrecondition', 'etcdserver: can only promote a learner member which is in sync with leader'],
  tooManyLearners: ['FailedPrecondition', 'etcdserver: too many learner members in cluster'],
  requestTooLarge: ['InvalidArgument', 'etcdserver: request is too large'],
  tooManyRequests: ['ResourceExhausted', 'etcdserver: too many requests'],
  noLeader: ['Unavailable', 'etcdserver: no leader'],
  notLeader: ['FailedPrecondition', 'etcdserver: not leader'],
  leaderChanged: ['Unavailable', 'etcdserver: leader changed'],
  notCapable: ['Unavailable', 'etcdserver: not capable'],
  stopped: ['Unavailable', 'etcdserver: server stopped'],
  timeout: ['Unavailable', 'etcdserver: request timed out'],
  timeoutDueToLeaderFail: ['Unavailable', 'etcdserver: request timed out, possibly due to previous leader failure'],
  timeoutDueToConnectionLost: ['Unavailable', 'etcdserver: request timed out, possibly due to connection lost'],
  unhealthy: ['Unavailable', 'etcdserver: unhealthy cluster'],
  corrupt: ['DataLoss', 'etcdserver: corrupt cluster'],
  badLeaderTransferee: ['FailedPrecondition', 'etcdserver: bad leader transferee'],
  notSupportedForLearner: ['Unavailable', 'etcdserver: rpc not supported for learner'],
  rootUserNotExist: ['FailedPrecondition', 'etcdserver: root user does not exist'],
  rootRoleNotExist: ['FailedPrecondition', 'etcdserver: root user does not have root role'],
  userAlreadyExist: ['FailedPrecondition', 'etcdserver: user name already exists'],
  userEmpty: ['InvalidArgument', 'etcdserver: user name is empty'],
  userNotFound: ['FailedPrecondition', 'etcdserver: user name not found'],
  roleAlreadyExist: ['FailedPrecondition', 'etcdserver: role name already exists'],
  roleNotFound: ['FailedPrecondition', 'etcdserver: role name not found'],
  roleEmpty: ['InvalidArgument', 'etcdserver: role name is empty'],
  authFailed: ['InvalidArgument', 'etcdserver: authentication failed, invalid user ID or password'],
  noPasswordUser: ['Unknown', 'auth: authentication failed, password was given for no password user'],
  permissionNotGiven: ['InvalidArgument', 'etcdserver: permission not given'],
  permissionDenied: ['PermissionDenied', 'etcdserver: permission denied'],
  roleNotGranted: ['FailedPrecondition', 'etcdserver: role is not granted to the user'],
  permissionNotGranted: ['FailedPrecondition', 'etcdserver: permission is not granted to the role'],
  authNotEnabled: ['FailedPrecondition', 'etcdserver: authentication is not enabled'],
  invalidAuthToken: ['Unauthenticated', 'etcdserver: invalid auth token'],
  invalidAuthMgmt: ['InvalidArgument', 'etcdserver: invalid auth management'],
  authOldRevision: ['InvalidArgument', 'etcdserver: revision of auth store is old'],
} as const satisfies Readonly<Record<string, readonly [GrpcCodeName, string]>>;

/** Codes of errors that a server answers with. */
export type ServerErrorCode = keyof typeof etcdErrors;

/**
 * All codes. Beyond the server's: `invalidRequest` (the server could not read the request), `unavailable` (no endpoint
 * could be reached and nothing was sent, or a read could not be answered), `unknownFate` (a write was sent and its
 * answer lost: it may or may not have been applied; never retry it blindly), `protocol` (an answer that is no etcd
 * message), `unknown` (an error of a server that this list lacks).
 */
export type EtcdErrorCode = ServerErrorCode | 'invalidRequest' | 'unavailable' | 'unknownFate' | 'protocol' | 'unknown';

const grpcCodeOfClientError: Readonly<Record<Exclude<EtcdErrorCode, ServerErrorCode>, GrpcCodeName>> = {
  invalidRequest: 'InvalidArgument',
  unavailable: 'Unavailable',
  unknownFate: 'Unknown',
  protocol: 'Internal',
  unknown: 'Unknown',
};

const codesByMessage: ReadonlyMap<string, ServerErrorCode> = new Map(
  (Object.entries(etcdErrors) as [ServerErrorCode, readonly [GrpcCodeName, string]][]).map(([code, [, message]]) => [
    message,
    code,
  ]),
);

/** An etcd error: ask for `code`; `message` is etcd's text. */
export class EtcdError extends Error {
  override readonly name = 'EtcdError';
  readonly code: EtcdErrorCode;
  readonly grpcCode: GrpcCodeName;

  constructor(
    code: EtcdErrorCode,
    options: { readonly message?: string; readonly grpcCode?: GrpcCodeName; readonly cause?: unknown } = {},
  ) {
    const known = code in etcdErrors ? etcdErrors[code as ServerErrorCode] : undefined;
    super(
      options.message ?? known?.[1] ?? `etcdclient: ${code}`,
      options.cause === undefined ? {} : { cause: options.cause },
    );
    this.code = code;
    this.grpcCode =
      options.grpcCode ?? known?.[0] ?? grpcCodeOfClientError[code as Exclude<EtcdErrorCode, ServerErrorCode>];
  }

  get httpStatus(): number {
    return httpStatusByGrpcCode[this.grpcCode];
  }

  /** The error that a server's gRPC code and message stand for. */
  static fromWire(grpcCode: number, message: string): EtcdError {
    const name = (Object.keys(grpcCodes) as GrpcCodeName[]).find((each) => grpcCodes[each] === grpcCode) ?? 'Unknown';
    const code = codesByMessage.get(message) ?? (name === 'InvalidArgument' ? 'invalidRequest' : 'unknown');
    return new EtcdError(code, { message, grpcCode: name });
  }
}

export function isEtcdError(error: unknown, code?: EtcdErrorCode): error is EtcdError {
  return error instanceof EtcdError && (code === undefined || error.code === code);
}
