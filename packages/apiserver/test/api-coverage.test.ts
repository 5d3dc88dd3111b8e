/** docs/api-coverage.md says what the server serves. `UPDATE=1` writes its table. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { parseApiVersion } from '@naru/api';
import { hasOwnStrategy } from '../src/registry/strategies/strategies.ts';
import { ApiFixture, startStore } from './api-fixture.ts';

interface DiscoveredResource {
  readonly name: string;
  readonly kind: string;
  readonly namespaced: boolean;
  readonly verbs: readonly string[];
}

const file = join(import.meta.dirname, '..', '..', '..', 'docs', 'api-coverage.md');
const [begin, end] = ['<!-- resources: begin -->\n', '<!-- resources: end -->\n'] as const;
const stored = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch'];

await using store = await startStore('etcd');
await using api = await ApiFixture.start(store);

async function servedRows(): Promise<string[]> {
  const { body } = await api.request('GET', '/apis');
  const groups = body['groups'] as { versions: { groupVersion: string }[] }[];
  const versions = ['v1', ...groups.flatMap((group) => group.versions.map(({ groupVersion }) => groupVersion))];
  const rows: string[] = [];
  for (const version of versions) {
    const path = version === 'v1' ? '/api/v1' : `/apis/${version}`;
    const answer = await api.request('GET', path);
    const resources = answer.body['resources'] as DiscoveredResource[];
    for (const { name, kind, namespaced, verbs } of resources.filter((each) => !each.name.includes('/'))) {
      const subresources = resources
        .filter((each) => each.name.startsWith(`${name}/`))
        .map((each) => each.name.slice(name.length + 1))
        .toSorted();
      const all = stored.every((verb) => verbs.includes(verb));
      const rules = hasOwnStrategy({ group: parseApiVersion(version).group, resource: name }) ? 'own' : 'schema';
      rows.push(
        `${version} ${name} ${kind} ${namespaced ? 'namespaced' : 'cluster'} ${all ? 'all' : verbs.toSorted().join(',')} ${subresources.join(',') || '-'} ${rules}`,
      );
    }
  }
  return rows.toSorted();
}

await t.test('the table lists what discovery lists, no more and no less', async (t) => {
  const rows = await servedRows();
  const text = await readFile(file, 'utf8');
  const [from, to] = [text.indexOf(begin) + begin.length, text.indexOf(end)];
  if (process.env['UPDATE'] === '1')
    await writeFile(file, `${text.slice(0, from)}\n\`\`\`text\n${rows.join('\n')}\n\`\`\`\n\n${text.slice(to)}`);
  const documented = text
    .slice(from, to)
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('```'));
  t.same(documented, rows);
});
