/** kube-system/extension-apiserver-authentication: by which authorities servers that extend the API know callers. */
import { configMaps, equalJson, isAlreadyExists, type KubeObject, type UnstructuredObject } from '@naru/api';
import type { ApiserverConfig } from './config.ts';
import { loopbackContext } from './bootstrap.ts';
import type { ResourceStack } from './resource-stack.ts';

const namespace = 'kube-system';
const name = 'extension-apiserver-authentication';

/** What is to stand there; undefined: this server asks nobody for certificates. */
function authenticationData({ tls, requestHeader }: ApiserverConfig): Record<string, string> | undefined {
  const data: Record<string, string> = {};
  if (tls?.clientCa !== undefined) data['client-ca-file'] = tls.clientCa;
  if (requestHeader !== undefined) {
    data['requestheader-client-ca-file'] = requestHeader.clientCa;
    data['requestheader-allowed-names'] = JSON.stringify(requestHeader.allowedNames);
    data['requestheader-username-headers'] = JSON.stringify(requestHeader.usernameHeaders);
    data['requestheader-uid-headers'] = JSON.stringify(requestHeader.uidHeaders);
    data['requestheader-group-headers'] = JSON.stringify(requestHeader.groupHeaders);
    data['requestheader-extra-headers-prefix'] = JSON.stringify(requestHeader.extraHeadersPrefix);
  }
  return Object.keys(data).length === 0 ? undefined : data;
}

/** Makes the ConfigMap say what this server's flags say; other keys in it are left alone. */
export async function publishAuthentication(
  stack: ResourceStack,
  config: ApiserverConfig,
  nowMs: number,
): Promise<void> {
  const data = authenticationData(config);
  const registry = stack.registryOf(configMaps);
  if (data === undefined || registry === undefined) return;
  const context = loopbackContext(namespace, nowMs);
  if (registry.cache.get(registry.keyOf(namespace, name)) === undefined) {
    const object: KubeObject & { data: unknown } = {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name, namespace },
      data,
    };
    try {
      await registry.create(object as unknown as UnstructuredObject, context);
      return;
    } catch (error) {
      if (!isAlreadyExists(error)) throw error;
    }
  }
  await registry.update(
    name,
    '',
    (old) => {
      const merged = { ...(old['data'] as Record<string, string> | undefined), ...data };
      return equalJson(merged, old['data']) ? old : { ...old, data: merged };
    },
    context,
  );
}
