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
    const used = new Set(differences.flatMap((each) => knownDifferences.filter((rule) => explains(rule, each))));
    const single = differences.filter((each) => !knownDifferences.some((rule) => explains(rule, each)));
    const unknown = single.filter((each) => !singleDifferences.has(placeOf(each)));
    t.comment(`${corpus.length} requests, ${differences.length} known differences`);
    t.same(unknown.slice(0, SHOWN_MAX), [], `${unknown.length} differences that no rule explains`);
    t.same(
      knownDifferences.filter((rule) => rule.sometimes !== true && !used.has(rule)).map(({ reason }) => reason),
      [],
      'every rule explains something',
    );
    const places = new Set(single.map(placeOf));
    t.same(
      [...singleDifferences].filter((place) => !places.has(place)),
      [],
      'every single difference is still there',
    );
  },
);

t.end();
