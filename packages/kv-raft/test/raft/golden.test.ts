// Each golden/*.txt is a script with what it prints: commands, a line of dashes, output, an empty line. With
// UPDATE_GOLDEN=1 the output is written anew; read the difference before it is committed.
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { Script } from './script.ts';

const directory = join(import.meta.dirname, 'golden');
const RULE = '----';

function replay(text: string): string {
  const script = new Script();
  const blocks = text.trimEnd().split(/\n\n+/u);
  return `${blocks
    .map((block) => {
      const lines = block.split('\n');
      const rule = lines.indexOf(RULE);
      const commands = rule === -1 ? lines : lines.slice(0, rule);
      const output = commands.filter((line) => !line.startsWith('#')).flatMap((line) => script.run(line));
      return commands.every((line) => line.startsWith('#')) ? block : [...commands, RULE, ...output].join('\n');
    })
    .join('\n\n')}\n`;
}

for (const file of (await readdir(directory)).sort())
  await t.test(`message flow: ${file.replace('.txt', '').replaceAll('-', ' ')}`, async (t) => {
    const path = join(directory, file);
    const expected = await readFile(path, 'utf8');
    const actual = replay(expected);
    if (process.env['UPDATE_GOLDEN'] === '1') await writeFile(path, actual);
    else t.equal(actual, expected);
  });
