/** PodSecurityConfiguration: what holds where namespaces say nothing, and for whom nothing holds. */
import type { Fields } from '../../configuration-file.ts';

export const levels = ['privileged', 'baseline', 'restricted'] as const;
export type Level = (typeof levels)[number];
export const modes = ['enforce', 'audit', 'warn'] as const;
export type Mode = (typeof modes)[number];

/** `latest`, or the version of Kubernetes whose checks are meant. */
export const policyVersion = /^(?:latest|v1\.(?:0|[1-9]\d*))$/u;

export interface Policy {
  readonly level: Level;
  readonly version: string;
}

export interface PodSecurityConfig {
  readonly defaults: Readonly<Record<Mode, Policy>>;
  readonly exemptions: {
    readonly usernames: readonly string[];
    readonly runtimeClasses: readonly string[];
    readonly namespaces: readonly string[];
  };
}

const privileged: Policy = { level: 'privileged', version: 'latest' };

export const defaultPodSecurityConfig: PodSecurityConfig = {
  defaults: { enforce: privileged, audit: privileged, warn: privileged },
  exemptions: { usernames: [], runtimeClasses: [], namespaces: [] },
};

/** @throws UsageError. */
export function readPodSecurityConfig(fields: Fields): PodSecurityConfig {
  fields.only('kind', 'apiVersion', 'defaults', 'exemptions');
  fields.oneOf(
    'apiVersion',
    ['v1', 'v1beta1', 'v1alpha1'].map((each) => `pod-security.admission.config.k8s.io/${each}`),
  );
  fields.oneOf('kind', ['PodSecurityConfiguration']);
  const defaults = fields.object('defaults')?.only(...modes.flatMap((mode) => [mode, `${mode}-version`]));
  const policyOf = (mode: Mode): Policy => {
    if (defaults === undefined) return privileged;
    const version = defaults.has(`${mode}-version`) ? defaults.string(`${mode}-version`) : 'latest';
    if (!policyVersion.test(version))
      throw defaults.invalid(
        `${mode}-version`,
        `Invalid value: ${JSON.stringify(version)}: must be "latest" or "v1.x"`,
      );
    return { level: defaults.has(mode) ? defaults.oneOf(mode, levels) : 'privileged', version };
  };
  const exemptions = fields.object('exemptions')?.only('usernames', 'runtimeClasses', 'namespaces');
  const exempt = (name: string): readonly string[] => {
    const values = exemptions?.strings(name) ?? [];
    const i = values.findIndex((each, at) => each === '' || values.indexOf(each) !== at);
    if (exemptions !== undefined && i >= 0)
      throw exemptions.invalid(
        `${name}[${i}]`,
        values[i] === '' ? `Invalid value: "": must not be empty` : `Duplicate value: ${JSON.stringify(values[i])}`,
      );
    return values;
  };
  return {
    defaults: { enforce: policyOf('enforce'), audit: policyOf('audit'), warn: policyOf('warn') },
    exemptions: {
      usernames: exempt('usernames'),
      runtimeClasses: exempt('runtimeClasses'),
      namespaces: exempt('namespaces'),
    },
  };
}
