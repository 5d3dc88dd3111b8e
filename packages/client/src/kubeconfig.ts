import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import type { RestClientOptions } from './rest-client.ts';

interface NamedEntries {
  readonly [section: string]: unknown;
}

interface Cluster {
  readonly server?: string;
  readonly 'certificate-authority'?: string;
  readonly 'certificate-authority-data'?: string;
  readonly 'insecure-skip-tls-verify'?: boolean;
  readonly 'tls-server-name'?: string;
}

interface User {
  readonly 'client-certificate'?: string;
  readonly 'client-certificate-data'?: string;
  readonly 'client-key'?: string;
  readonly 'client-key-data'?: string;
  readonly token?: string;
  readonly tokenFile?: string;
  readonly exec?: unknown;
  readonly 'auth-provider'?: unknown;
}

interface Context {
  readonly cluster?: string;
  readonly user?: string;
  readonly namespace?: string;
}

/** A kubeconfig that cannot be used; the message names the file. */
export class KubeconfigError extends Error {
  override readonly name = 'KubeconfigError';
}

/**
 * The server and credentials of a kubeconfig's context (the current one unless named). Files that it names are read;
 * relative paths are relative to the kubeconfig. Exec and auth-provider plugins are refused.
 * @throws KubeconfigError
 */
export async function loadKubeconfig(
  path: string,
  options: { readonly context?: string } = {},
): Promise<RestClientOptions & { readonly namespace: string }> {
  const fail = (why: string, cause?: unknown): KubeconfigError =>
    new KubeconfigError(`kubeconfig ${path}: ${why}`, cause === undefined ? {} : { cause });
  const read = async (file: string): Promise<string> => {
    try {
      return await readFile(resolve(dirname(path), file), 'utf8');
    } catch (error) {
      throw fail(error instanceof Error ? error.message : String(error), error);
    }
  };
  let config: NamedEntries;
  try {
    config = (await parseYaml(await readFile(path, 'utf8'))) as NamedEntries;
  } catch (error) {
    throw fail(error instanceof Error ? error.message : String(error), error);
  }
  if (typeof config !== 'object' || config === null) throw fail('not a kubeconfig');
  const contextName = options.context ?? config['current-context'];
  if (typeof contextName !== 'string' || contextName === '') throw fail('no current-context is set');
  const find = (section: string, entry: string, name: string): unknown => {
    const list = Array.isArray(config[section]) ? (config[section] as readonly Record<string, unknown>[]) : [];
    const found = list.find((each) => each['name'] === name);
    if (found === undefined) throw fail(`${entry} "${name}" does not exist`);
    return found[entry] ?? {};
  };
  const context = find('contexts', 'context', contextName) as Context;
  const cluster = find('clusters', 'cluster', context.cluster ?? '') as Cluster;
  const user = (context.user === undefined || context.user === '' ? {} : find('users', 'user', context.user)) as User;
  if (user.exec !== undefined || user['auth-provider'] !== undefined)
    throw fail(`user "${context.user}": credential plugins are not supported`);
  if (cluster.server === undefined || !URL.canParse(cluster.server))
    throw fail(`cluster "${context.cluster}": no valid server`);

  const pem = async (data: string | undefined, file: string | undefined): Promise<string | undefined> => {
    if (data !== undefined && data !== '') return Buffer.from(data, 'base64').toString('utf8');
    return file === undefined || file === '' ? undefined : await read(file);
  };
  const ca = await pem(cluster['certificate-authority-data'], cluster['certificate-authority']);
  const cert = await pem(user['client-certificate-data'], user['client-certificate']);
  const key = await pem(user['client-key-data'], user['client-key']);
  if ((cert === undefined) !== (key === undefined))
    throw fail(`user "${context.user}": a client certificate needs a key, and a key its certificate`);
  const bearerToken = user.token ?? (user.tokenFile === undefined ? undefined : (await read(user.tokenFile)).trim());
  return {
    server: cluster.server,
    namespace: context.namespace ?? 'default',
    tls: {
      ...(ca === undefined ? {} : { ca }),
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
    },
    ...(bearerToken === undefined || bearerToken === '' ? {} : { bearerToken }),
    ...(cluster['tls-server-name'] === undefined ? {} : { tlsServerName: cluster['tls-server-name'] }),
    ...(cluster['insecure-skip-tls-verify'] === true ? { insecureSkipTlsVerify: true } : {}),
  };
}

/** JSON is YAML too, and what most components are given: the parser of the rest is loaded only when it is needed. */
async function parseYaml(text: string): Promise<unknown> {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    const { parse } = await import('yaml');
    return parse(text) as unknown;
  }
}
