/**
 * ComponentStatuses: whether the parts of the control plane are well. Upstream asks fixed ports of its own machine; here
 * the others may be anywhere, so that of controller-manager and scheduler the Leases tell: somebody leads.
 */
import { componentStatuses, leases, type UnstructuredObject } from '@naru/api';
import type { Clock } from '@naru/component';
import type { EtcdClientOptions } from '@naru/etcd-client';
import { EtcdClient } from '@naru/etcd-client';
import type { AdmissionStore } from '../admission/admission.ts';
import type { VirtualResource } from './virtual-resource.ts';

/** How long a member of the store may take to answer. */
const CHECK_MS = 2000;

export interface ComponentStatusesOptions {
  readonly etcdServers: readonly string[];
  readonly etcdTls: EtcdClientOptions['tls'];
  readonly store: AdmissionStore;
  readonly clock: Clock;
}

export function createComponentStatuses(options: ComponentStatusesOptions): VirtualResource {
  const led = ['controller-manager', 'scheduler'];
  return {
    resource: componentStatuses,
    async list() {
      const members = options.etcdServers.map(async (url, i) =>
        componentStatus(`etcd-${i}`, await problemOfMember(url, options)),
      );
      return [
        ...led.map((name) => componentStatus(name, problemOfLease(`kube-${name}`, options))),
        ...(await Promise.all(members)),
      ];
    },
  };
}

function componentStatus(name: string, problem: string | undefined): UnstructuredObject {
  const condition =
    problem === undefined
      ? { type: 'Healthy', status: 'True', message: 'ok' }
      : { type: 'Healthy', status: 'False', message: problem };
  return { apiVersion: 'v1', kind: 'ComponentStatus', metadata: { name }, conditions: [condition] };
}

function problemOfLease(name: string, { store, clock }: ComponentStatusesOptions): string | undefined {
  const spec = store.get(leases, 'kube-system', name)?.spec;
  if ((spec?.holderIdentity ?? '') === '') return `nobody holds the Lease kube-system/${name}`;
  const renewedMs = Date.parse(spec?.renewTime ?? '');
  const isHeld = clock.now() <= renewedMs + (spec?.leaseDurationSeconds ?? 0) * 1000;
  return isHeld ? undefined : `the Lease kube-system/${name} was last renewed at ${String(spec?.renewTime)}`;
}

async function problemOfMember(url: string, { etcdTls, clock }: ComponentStatusesOptions): Promise<string | undefined> {
  await using client = new EtcdClient({ endpoints: [url], tls: etcdTls });
  const late = new AbortController();
  const cancel = clock.after(CHECK_MS, () => late.abort(new Error(`no answer within ${CHECK_MS} ms`)));
  try {
    const { errors } = await client.status({ signal: late.signal });
    return errors.length === 0 ? undefined : errors.join(', ');
  } catch (error) {
    return `Get "${url}": ${(error as Error).message}`;
  } finally {
    cancel();
  }
}
