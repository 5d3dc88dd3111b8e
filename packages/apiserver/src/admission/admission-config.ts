/** `--admission-control-config-file`: an AdmissionConfiguration, with what plugins are told in it or in files of their own. */
import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { UsageError } from '@naru/component';
import { decodeConfiguration, type Fields } from '../configuration-file.ts';
import { readPodSecurityConfig, type PodSecurityConfig } from './pod-security/pod-security-config.ts';

export const ADMISSION_CONFIG = 'admission-control-config-file';

export interface AdmissionConfig {
  readonly podSecurity?: PodSecurityConfig;
}

/** @throws UsageError with the place of what is wrong, and for plugins that take no configuration here. */
export async function readAdmissionConfig(path: string): Promise<AdmissionConfig> {
  const configuration = decodeConfiguration(await readText(path), {
    flag: ADMISSION_CONFIG,
    kind: 'AdmissionConfiguration',
    apiVersions: ['apiserver.config.k8s.io/v1', 'apiserver.config.k8s.io/v1alpha1'],
  }).only('kind', 'apiVersion', 'plugins');
  let config: AdmissionConfig = {};
  const names = new Set<string>();
  for (const plugin of configuration.list('plugins')) {
    const name = plugin.only('name', 'path', 'configuration').required('name');
    if (names.has(name)) throw plugin.invalid('name', `Duplicate value: ${JSON.stringify(name)}`);
    names.add(name);
    if (name !== 'PodSecurity') throw plugin.invalid('name', `configuration of ${name} is not supported`);
    config = { ...config, podSecurity: readPodSecurityConfig(await configurationOf(plugin, path)) };
  }
  return config;
}

async function configurationOf(plugin: Fields, path: string): Promise<Fields> {
  const inline = plugin.object('configuration');
  if (inline !== undefined) return inline;
  return decodeConfiguration(await readText(resolve(dirname(path), plugin.required('path'))), {
    flag: ADMISSION_CONFIG,
  });
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    throw new UsageError(`--${ADMISSION_CONFIG}: ${(error as Error).message}`);
  }
}
