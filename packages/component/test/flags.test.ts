import t from 'tap';
import { backoffMs, helpText, parseDuration, parseFlags, UsageError, type FlagTable } from '@naru/component';

const table = {
  name: { type: 'string', default: 'default', description: 'A name.' },
  mode: { type: 'string', values: ['a', 'b'], description: 'A choice.' },
  count: { type: 'integer', default: 3, min: 1, max: 9, description: 'A number.' },
  verbose: { type: 'boolean', default: false, description: 'A switch.' },
  wait: { type: 'duration', default: 100, description: 'A time.' },
  urls: { type: 'list', default: [], description: 'Several.' },
} as const satisfies FlagTable;

await t.test('flags are given with a value after = or a blank, with one dash or two; lists add up', async (t) => {
  const argv = ['--name=x=y', '-count', '5', '--verbose', '--urls=a,b', '--urls', 'c', '--wait=1m30s', '--mode=b'];
  t.same(parseFlags(table, argv), {
    name: 'x=y',
    mode: 'b',
    count: 5,
    verbose: true,
    wait: 90_000,
    urls: ['a', 'b', 'c'],
  });
  t.same(parseFlags(table, []), { name: 'default', mode: undefined, count: 3, verbose: false, wait: 100, urls: [] });
  t.equal(parseFlags(table, ['--verbose', '--verbose=false']).verbose, false, 'the last one wins');
  t.equal(parseFlags(table, ['--wait=250']).wait, 250, 'a bare number is milliseconds');
});

await t.test('a bad flag is a usage error that names it', async (t) => {
  const cases: readonly (readonly [readonly string[], RegExp])[] = [
    [['--nope'], /unknown flag: --nope/u],
    [['--toString=1'], /unknown flag: --toString/u],
    [['word'], /unexpected argument: word/u],
    [['--name'], /flag needs an argument: --name/u],
    [['--count=x'], /invalid argument "x" for "--count" flag: must be an integer/u],
    [['--count='], /"--count" flag: must be an integer/u],
    [['--count=0'], /"--count" flag: must be at least 1/u],
    [['--count=10'], /"--count" flag: must be at most 9/u],
    [['--verbose=maybe'], /"--verbose" flag: must be true or false/u],
    [['--wait=soon'], /"--wait" flag: must be a duration/u],
    [['--mode=c'], /"--mode" flag: must be one of a, b/u],
  ];
  for (const [argv, message] of cases) {
    t.throws(() => parseFlags(table, argv), { message, name: 'UsageError' }, argv.join(' '));
  }
  const required = { kubeconfig: { type: 'string', required: true, description: '' } } as const satisfies FlagTable;
  t.throws(() => parseFlags(required, []), new UsageError('required flag: --kubeconfig'));
});

await t.test('durations are written as in Go', async (t) => {
  const cases: Readonly<Record<string, number | undefined>> = {
    '0': 0,
    '300ms': 300,
    '1.5s': 1_500,
    '1h2m3s': 3_723_000,
    '-5s': -5_000,
    '10us': 0.01,
    '5': undefined,
    '5x': undefined,
    '': undefined,
    s: undefined,
  };
  for (const [text, expected] of Object.entries(cases)) t.equal(parseDuration(text), expected, text);
});

await t.test('help lists every flag with its default', async (t) => {
  const help = helpText('thing', 'A thing.', table);
  for (const name of Object.keys(table)) t.match(help, `--${name} `);
  t.match(help, 'A number. (default 3)');
  t.match(help, 'Usage: thing [flags]');
});

await t.test('backoff grows by its factor up to its limit, and jitter only adds', async (t) => {
  const options = { baseMs: 100, maxMs: 1_000 };
  t.same(
    [0, 1, 2, 3, 4, 50].map((failures) => backoffMs(failures, options)),
    [100, 200, 400, 800, 1_000, 1_000],
  );
  t.equal(backoffMs(1, { ...options, jitter: 0.5, random: () => 1 }), 300);
});
