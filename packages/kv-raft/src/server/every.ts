import type { Cancel, Clock } from '@naru/component';

/** Calls `fn` every `ms` until it is canceled. */
export function every(clock: Clock, ms: number, fn: () => void): Cancel {
  let cancel: Cancel = () => {};
  const again = (): void => {
    cancel = clock.after(ms, () => {
      again();
      fn();
    });
  };
  again();
  return () => cancel();
}
