import { median } from './machine.ts';

export type Side = 'ours' | 'theirs';

/** A figure of both sides. */
export type Pair = Readonly<Record<Side, number>>;

export type Figures = Readonly<Record<string, Pair>>;

export const none: Pair = { ours: Number.NaN, theirs: Number.NaN };

/** Measures both sides in turn, ours first, for some rounds; each figure is the median of the rounds. */
export async function compareSides(
  rounds: number,
  measure: (side: Side) => Promise<Readonly<Record<string, number>>>,
): Promise<Figures> {
  const figures = { ours: new Map<string, number[]>(), theirs: new Map<string, number[]>() };
  for (let round = 0; round < rounds; round++)
    for (const side of ['ours', 'theirs'] as const)
      for (const [name, value] of Object.entries(await measure(side))) {
        const list = figures[side].get(name);
        if (list === undefined) figures[side].set(name, [value]);
        else list.push(value);
      }
  return Object.fromEntries(
    Array.from(figures.ours, ([name, ours]) => [
      name,
      { ours: median(ours), theirs: median(figures.theirs.get(name) ?? []) },
    ]),
  );
}
