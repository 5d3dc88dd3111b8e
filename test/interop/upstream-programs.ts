import { existsSync } from 'node:fs';
import { join } from 'node:path';

/** Where Kubernetes 1.20's own programs are, which somebody has built before: CONFORMANCE names the folder. */
const folder = process.env['CONFORMANCE'] ?? '/opt/conformance';

/** The path of one of them, there or not. */
export function upstreamProgram(name: string): string {
  return join(folder, name);
}

/** Why a test that needs `names` cannot run here; false: it can. */
export function missingPrograms(...names: readonly string[]): string | false {
  const missing = names.map(upstreamProgram).find((path) => !existsSync(path));
  return missing === undefined ? false : `${missing} is not there (Kubernetes 1.20, built from Debian's sources)`;
}
