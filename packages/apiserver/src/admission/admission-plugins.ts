import { UsageError } from '@naru/component';
import type { AdmissionPlugin } from './admission.ts';
import { namespaceLifecycle } from './namespace-lifecycle.ts';

export interface AdmissionOptions {
  /** `--enable-admission-plugins`: beside those that are on by default. */
  readonly enable?: readonly string[];
  /** `--disable-admission-plugins`. */
  readonly disable?: readonly string[];
}

/** Every plugin, in upstream's order, and whether it is on by default. */
const allPlugins: readonly { readonly plugin: AdmissionPlugin; readonly isDefault: boolean }[] = [
  { plugin: namespaceLifecycle, isDefault: true },
];

/**
 * The plugins that are on, in the order in which they run.
 * @throws UsageError for a name that is unknown.
 */
export function createAdmissionPlugins(options: AdmissionOptions = {}): readonly AdmissionPlugin[] {
  const { enable = [], disable = [] } = options;
  const known = new Set(allPlugins.map(({ plugin }) => plugin.name));
  for (const [flag, names] of [
    ['enable-admission-plugins', enable],
    ['disable-admission-plugins', disable],
  ] as const) {
    const unknown = names.find((name) => !known.has(name));
    if (unknown !== undefined) throw new UsageError(`${flag} plugin ${JSON.stringify(unknown)} is unknown`);
  }
  const both = enable.find((name) => disable.includes(name));
  if (both !== undefined)
    throw new UsageError(`${JSON.stringify([both])} in enable-admission-plugins and disable-admission-plugins overlap`);
  return allPlugins
    .filter(({ plugin, isDefault }) => (isDefault || enable.includes(plugin.name)) && !disable.includes(plugin.name))
    .map(({ plugin }) => plugin);
}
