import { spawnSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import t from 'tap';
import { components, flagsDoc, flagsDocPath, mainOf } from '../../scripts/flags-doc.ts';

await t.test('a bad flag ends every component with status 2 and the name of the flag', async (t) => {
  for (const component of components) {
    const { status, stderr, stdout } = spawnSync(process.execPath, [mainOf(component), '--no-such-flag=1'], {
      encoding: 'utf8',
      timeout: 20_000,
    });
    t.equal(status, 2, component);
    t.match(stderr, /unknown flag: --no-such-flag/u, component);
    t.notMatch(stderr + stdout, /^ {4}at /mu, `${component} shows no stack trace`);
  }
});

await t.test('docs/flags.md is what --help says', async (t) => {
  t.equal(await readFile(flagsDocPath, 'utf8'), await flagsDoc(), 'run: node scripts/flags-doc.ts');
});
