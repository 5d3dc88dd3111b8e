// Loaded into a member before anything of its own: makes its disk slow or broken when the test says so, and plants a bug
// when the test wants to see whether it is found.
import fs from 'node:fs';
import { plantOf, sow } from '../../packages/kv-raft/test/simulation/planting.ts';

/** What the test sends. */
export interface DiskFault {
  readonly syncDelayMs: number;
  /** Fails writes and syncs. */
  readonly errorCode: string | undefined;
}

type Callback = (error: NodeJS.ErrnoException | null, ...rest: readonly unknown[]) => void;

let fault: DiskFault = { syncDelayMs: 0, errorCode: undefined };
process.on('message', (message: DiskFault) => {
  fault = message;
});
// It must not keep the member from ending, nor end it with the test.
process.channel?.unref();

function wrap(name: 'write' | 'fdatasync' | 'fsync'): void {
  const original = fs[name] as (...args: readonly unknown[]) => void;
  const replacement = (...args: readonly unknown[]): void => {
    const [fd] = args;
    const callback = args.at(-1) as Callback;
    // Not what goes to stdout.
    if (typeof fd === 'number' && fd > 2 && fault.errorCode !== undefined) {
      const { errorCode } = fault;
      const error = Object.assign(new Error(`${errorCode}: made by the test, ${name}`), { code: errorCode });
      process.nextTick(() => callback(error));
    } else if (name !== 'write' && fault.syncDelayMs > 0) setTimeout(() => original(...args), fault.syncDelayMs);
    else original(...args);
  };
  Object.assign(fs, { [name]: replacement });
}

for (const name of ['write', 'fdatasync', 'fsync'] as const) wrap(name);
const plant = process.env['NARU_ROBUSTNESS_PLANT'];
if (plant !== undefined) sow(plantOf(plant));
