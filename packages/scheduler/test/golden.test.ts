// Scenarios in golden/*.yaml: nodes, the pods on them, and pods to schedule one after the other, each with the node that
// it must get, or the message, or the pods that must make room for it.
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { parse } from 'yaml';
import { fitErrorMessage } from '../src/framework/diagnosis.ts';
import { preempt } from '../src/framework/preemption.ts';
import { appSelector, cacheOf, infoOf, newFramework, type NodeShorthand, type PodShorthand } from './fixtures.ts';

interface Scenario {
  readonly nodes: readonly NodeShorthand[];
  readonly existing?: readonly PodShorthand[];
  readonly pods: readonly (PodShorthand & {
    readonly expect: string | { readonly nominated: string; readonly victims: readonly string[] };
  })[];
}

const folder = join(import.meta.dirname, 'golden');
for (const file of (await readdir(folder)).toSorted()) {
  await t.test(file, async (t) => {
    const scenario = parse(await readFile(join(folder, file), 'utf8')) as Scenario;
    const cache = cacheOf(scenario.nodes, scenario.existing, { defaultSelector: appSelector });
    const framework = newFramework();
    for (const { expect, ...shorthand } of scenario.pods) {
      const pod = infoOf(shorthand);
      const result = framework.schedule(pod, cache);
      if (result.kind === 'fits') {
        t.equal(result.nodeName, expect, `${pod.name} goes to ${JSON.stringify(expect)}`);
        cache.assumePod(pod, result.nodeName);
        continue;
      }
      const preemption =
        result.diagnosis.numAllNodes === 0 ? undefined : preempt(framework, pod, result.diagnosis, cache, []);
      if (preemption?.kind === 'nominated')
        t.same(
          { nominated: preemption.nodeName, victims: preemption.victims.map(({ name }) => name) },
          expect,
          pod.name,
        );
      else t.equal(fitErrorMessage(result.diagnosis, preemption?.message), expect, `${pod.name} is told why`);
    }
  });
}
