// docs/flags.md: what every component's --help says. `node scripts/flags-doc.ts` writes it; test/e2e/flags.test.ts checks it.
import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const root = join(import.meta.dirname, '..');

export const components = ['kv-raft', 'apiserver', 'controller-manager', 'scheduler', 'kubelet', 'kube-proxy'] as const;

export const flagsDocPath = join(root, 'docs', 'flags.md');

/** A component's main file. */
export function mainOf(component: string): string {
  return join(root, 'packages', component, 'src', 'main.ts');
}

/** The text of docs/flags.md as it should be. */
export async function flagsDoc(): Promise<string> {
  const sections: string[] = [];
  for (const component of components) {
    const { stdout } = await promisify(execFile)(process.execPath, [mainOf(component), '--help']);
    sections.push(`## ${component}\n\n\`\`\`text\n${stdout.trimEnd()}\n\`\`\`\n`);
  }
  return `# Flags\n\nWhat \`node packages/NAME/src/main.ts --help\` prints. Names are upstream's.\n\n${sections.join('\n')}`;
}

if (process.argv[1] === import.meta.filename) await writeFile(flagsDocPath, await flagsDoc());
