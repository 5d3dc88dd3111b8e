import { print } from './machine.ts';

/** What a figure must reach: a multiple of the other's, or a bound of its own. */
export type Target =
  | { readonly kind: 'at least'; readonly ratio: number }
  | { readonly kind: 'at most'; readonly ratio: number }
  | { readonly kind: 'below'; readonly bound: number };

/** One line of the table. */
export interface Row {
  readonly work: string;
  readonly unit: string;
  readonly ours: number;
  readonly theirs: number;
  /** Absent for lines that explain others. */
  readonly must?: Target;
  readonly aim?: Target;
}

function reaches(row: Row, target: Target): boolean {
  switch (target.kind) {
    case 'at least':
      return row.ours >= target.ratio * row.theirs;
    case 'at most':
      return row.ours <= target.ratio * row.theirs;
    case 'below':
      return row.ours <= target.bound;
    default:
      return target satisfies never;
  }
}

function describe(target: Target, unit: string): string {
  if (target.kind === 'below') return `<= ${target.bound} ${unit}`;
  return `${target.kind === 'at least' ? '>=' : '<='} ${target.ratio} x`;
}

function figure(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toFixed(value >= 10 ? 1 : 2);
}

/** Prints the rows as a table in Markdown, with the names of the two that are compared. */
export function printTable(rows: readonly Row[], names: { readonly ours: string; readonly theirs: string }): void {
  const heads = ['work', 'unit', names.ours, names.theirs, 'ratio', 'must', 'holds', 'aim', 'reached'];
  const cells = rows.map((row) => [
    row.work,
    row.unit,
    figure(row.ours),
    figure(row.theirs),
    (row.ours / row.theirs).toFixed(2),
    row.must === undefined ? '' : describe(row.must, row.unit),
    row.must === undefined ? '' : reaches(row, row.must) ? 'yes' : 'NO',
    row.aim === undefined ? '' : describe(row.aim, row.unit),
    row.aim === undefined ? '' : reaches(row, row.aim) ? 'yes' : 'no',
  ]);
  const widths = heads.map((head, i) => Math.max(head.length, ...cells.map((each) => each[i]?.length ?? 0)));
  const line = (texts: readonly string[]): string =>
    `| ${texts.map((text, i) => text.padEnd(widths[i] ?? 0)).join(' | ')} |`;
  print(line(heads));
  print(line(widths.map((width) => '-'.repeat(width))));
  for (const each of cells) print(line(each));
}
