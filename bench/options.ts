import { parseArgs } from 'node:util';

export interface BenchOptions {
  readonly quick: boolean;
  readonly only: readonly string[];
}

/** What a bench is asked for; undefined: its usage, which is printed. @throws Error for a measurement that there is not. */
export function benchOptions(
  args: readonly string[],
  { names, usage }: { readonly names: readonly string[]; readonly usage: string },
): BenchOptions | undefined {
  const { values } = parseArgs({
    args: [...args],
    options: {
      quick: { type: 'boolean', default: false },
      only: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(usage);
    return undefined;
  }
  const only = values.only?.split(',') ?? names;
  const unknown = only.find((name) => !names.includes(name));
  if (unknown !== undefined) throw new Error(`--only ${unknown}: no such measurement\n${usage}`);
  return { quick: values.quick, only };
}
