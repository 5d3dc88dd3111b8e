export type RuntimeErrorCode =
  | 'not-found'
  | 'invalid-argument'
  | 'failed-precondition'
  | 'deadline-exceeded'
  | 'network'
  | 'start-failed'
  | 'internal';

/** A call to the runtime or the pod network failed. */
export class RuntimeError extends Error {
  override readonly name = 'RuntimeError';
  readonly code: RuntimeErrorCode;

  constructor(code: RuntimeErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** Waiting reasons of a container that cannot be started, as upstream names them. */
export const startErrorReasons = [
  'ErrImagePull',
  'ImagePullBackOff',
  'ErrImageNeverPull',
  'InvalidImageName',
  'CreateContainerConfigError',
  'CreateContainerError',
  'RunContainerError',
  'PostStartHookError',
  'CrashLoopBackOff',
] as const;

export type StartErrorReason = (typeof startErrorReasons)[number];

/** A container could not be started; `reason` and the message become its waiting state. */
export class StartError extends Error {
  override readonly name = 'StartError';
  readonly reason: StartErrorReason;

  constructor(reason: StartErrorReason, message: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }
}

/** The message of whatever was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
