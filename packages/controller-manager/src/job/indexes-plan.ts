/** Completion indexes of indexed Jobs, in text `1,3-5,7`. */
import type { Pod } from '@naru/api';

export const INDEX = 'batch.kubernetes.io/job-completion-index';

export function indexOf({ metadata }: Pod): number | undefined {
  const text = metadata.annotations?.[INDEX];
  return text !== undefined && /^\d+$/u.test(text) ? Number(text) : undefined;
}

export function parseIndexes(text: string): number[] {
  return text
    .split(',')
    .filter((part) => part !== '')
    .flatMap((part) => {
      const [first = 0, last = first] = part.split('-').map(Number);
      return Array.from({ length: last - first + 1 }, (_, i) => first + i);
    });
}

/** In ascending order; three or more in a row are a range, two are named. */
export function formatIndexes(indexes: Iterable<number>): string {
  const parts: string[] = [];
  let first: number | undefined;
  let last = -1;
  const flush = (): void => {
    if (first === undefined) return;
    if (first === last) parts.push(String(first));
    else parts.push(last === first + 1 ? `${first},${last}` : `${first}-${last}`);
  };
  for (const index of [...indexes].sort((a, b) => a - b)) {
    if (first !== undefined && index === last + 1) last = index;
    else {
      flush();
      first = index;
      last = index;
    }
  }
  flush();
  return parts.join(',');
}
