// Every request of one corpus is answered by our API server as by the real kube-apiserver 1.20, but for what
// differential/known-differences.ts lists with its reason.
import { writeFile } from 'node:fs/promises';
import t from 'tap';
import { ApiserverUnderTest } from './differential/apiserver-under-test.ts';
import { compareAnswers, type Difference } from './differential/compare.ts';
import { corpus } from './differential/corpus.ts';
import { explains, placeOf } from './differential/known-difference.ts';
import { knownDifferences } from './differential/known-differences.ts';
import { Masks } from './differential/masks.ts';
import { singleDifferences } from './differential/single-differences-data.ts';
import { missingPrograms } from './upstream-programs.ts';

t.setTimeout(900_000);

const SHOWN_MAX = 40;

async function allDifferences(): Promise<Difference[]> {
  await using stack = new AsyncDisposableStack();
  const start = async (side: 'ours' | 'upstream', from: number): Promise<ApiserverUnderTest> =>
    stack.use(await ApiserverUnderTest.start(side, { from, to: from + 19 }));
  const [ours, upstream] = await Promise.all([start('ours', 24_700), start('upstream', 24_720)]);
  const masks = { ours: new Masks(), upstream: new Masks() };
  const differences: Difference[] = [];
  for (const request of corpus) {
    const answers = await Promise.all([ours.ask(request), upstream.ask(request)]);
    const masked = { ours: masks.ours.mask(answers[0]), upstream: masks.upstream.mask(answers[1]) };
    differences.push(...compareAnswers(request.name, masked));
  }
  return differences;
}

interface Verdict {
  /** Differences that nothing lists, as JSON, by their place. */
  readonly unknown: ReadonlyMap<string, string>;
  /** Reasons of rules that explain nothing any more. */
  readonly unused: ReadonlySet<string>;
  /** Single differences that are listed, but not there any more. */
  readonly gone: ReadonlySet<string>;
}

function judge(differences: readonly Difference[]): Verdict {
  const used = new Set(differences.flatMap((each) => knownDifferences.filter((rule) => explains(rule, each))));
  const single = differences.filter((each) => !knownDifferences.some((rule) => explains(rule, each)));
  const places = new Set(single.map(placeOf));
  const unused = knownDifferences.filter((rule) => rule.sometimes !== true && !used.has(rule));
  return {
    unknown: new Map(
      single
        .filter((each) => !singleDifferences.has(placeOf(each)))
        .map((each) => [placeOf(each), JSON.stringify(each)]),
    ),
    unused: new Set(unused.map(({ reason }) => reason)),
    gone: new Set([...singleDifferences].filter((place) => !places.has(place))),
  };
}

await t.test(
  'the corpus is answered as by kube-apiserver 1.20, but for the differences that are listed',
  { skip: missingPrograms('kube-apiserver') },
  async (t) => {
    t.ok(corpus.length >= 500, `${corpus.length} requests`);
    t.equal(new Set(corpus.map(({ name }) => name)).size, corpus.length, 'names are unique');
    const differences = await allDifferences();
    // All of them, for whoever changes the rules.
    const file = process.env['DIFFERENCES'];
    if (file !== undefined) await writeFile(file, differences.map((each) => `${JSON.stringify(each)}\n`).join(''));
    t.comment(`${differences.length} known differences`);
    const first = judge(differences);
    const isClean = first.unknown.size === 0 && first.unused.size === 0 && first.gone.size === 0;
    // What is busy in the background of either server may be seen or not: only what is so twice counts.
    const second = isClean ? first : judge(await allDifferences());
    for (const each of first.unknown.values()) t.comment(each);
    const unknown = [...first.unknown.keys()].filter((place) => second.unknown.has(place));
    t.same(unknown.slice(0, SHOWN_MAX), [], `${unknown.length} differences that no rule explains`);
    t.same([...first.unused.intersection(second.unused)], [], 'every rule explains something');
    t.same([...first.gone.intersection(second.gone)], [], 'every single difference is still there');
  },
);

t.end();
