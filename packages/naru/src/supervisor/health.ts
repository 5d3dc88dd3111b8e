import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Agent, request } from 'undici';
import { files, type ProcessSpec, type Topology } from '../topology.ts';

const HEALTH_TIMEOUT_MS = 2_000;

/** What the store's leader answers about itself. */
export interface StoreStatus {
  readonly member: string;
  readonly leader: boolean;
  readonly term: number;
  readonly revision: number;
}

interface MaintenanceStatus {
  readonly header: { readonly member_id: string; readonly raft_term?: string; readonly revision?: string };
  readonly leader?: string;
}

/** Asks the processes of a cluster how they are, with the cluster's own certificates. */
export class HealthProbe implements AsyncDisposable {
  readonly #topology: Topology;
  readonly #cluster: Agent;
  readonly #store: Agent;

  private constructor(topology: Topology, cluster: Agent, store: Agent) {
    this.#topology = topology;
    this.#cluster = cluster;
    this.#store = store;
  }

  static async open(topology: Topology): Promise<HealthProbe> {
    const pki = join(topology.options.dataDir, files.pki);
    const read = async (path: string): Promise<string> => await readFile(join(pki, path), 'utf8');
    const [ca, etcdCa, cert, key, clientCert, clientKey] = await Promise.all([
      read('ca.crt'),
      read('etcd/ca.crt'),
      read('apiserver-etcd-client.crt'),
      read('apiserver-etcd-client.key'),
      read('apiserver-kubelet-client.crt'),
      read('apiserver-kubelet-client.key'),
    ]);
    // No connection is kept: behind the shared port, each request must be able to reach another apiserver.
    const options = { pipelining: 0, headersTimeout: HEALTH_TIMEOUT_MS, bodyTimeout: HEALTH_TIMEOUT_MS };
    return new HealthProbe(
      topology,
      new Agent({ ...options, connect: { ca, cert: clientCert, key: clientKey } }),
      new Agent({ ...options, connect: { ca: etcdCa, cert, key } }),
    );
  }

  /** Whether the process answers its health check. */
  async isHealthy(spec: ProcessSpec): Promise<boolean> {
    try {
      const { statusCode, body } = await request(spec.healthUrl, {
        dispatcher: spec.role === 'kv' ? this.#store : this.#cluster,
        signal: AbortSignal.timeout(HEALTH_TIMEOUT_MS),
      });
      await body.dump();
      return statusCode === 200;
    } catch {
      return false;
    }
  }

  /** Each store member that answers. */
  async storeStatus(): Promise<StoreStatus[]> {
    const answers = await Promise.all(
      this.#topology.storeEndpoints.map(async (endpoint, i): Promise<StoreStatus | undefined> => {
        try {
          const { body } = await request(`${endpoint}/v3/maintenance/status`, {
            method: 'POST',
            body: '{}',
            dispatcher: this.#store,
            signal: AbortSignal.timeout(HEALTH_TIMEOUT_MS),
          });
          const { header, leader } = (await body.json()) as MaintenanceStatus;
          return {
            member: `kv-${i + 1}`,
            leader: leader !== undefined && leader !== '0' && leader === header.member_id,
            term: Number(header.raft_term ?? 0),
            revision: Number(header.revision ?? 0),
          };
        } catch {
          return undefined;
        }
      }),
    );
    return answers.filter((each) => each !== undefined);
  }

  /** Names of the nodes whose Ready condition is true. */
  async readyNodes(): Promise<string[]> {
    try {
      const { statusCode, body } = await request(`${this.#topology.server}/api/v1/nodes`, {
        dispatcher: this.#cluster,
        signal: AbortSignal.timeout(HEALTH_TIMEOUT_MS),
      });
      const list = (await body.json()) as NodeList;
      if (statusCode !== 200) return [];
      return list.items
        .filter(({ status }) => status?.conditions?.some((each) => each.type === 'Ready' && each.status === 'True'))
        .map(({ metadata }) => metadata.name);
    } catch {
      return [];
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.#cluster.destroy(), this.#store.destroy()]);
  }
}

interface NodeList {
  readonly items: readonly {
    readonly metadata: { readonly name: string };
    readonly status?: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] };
  }[];
}
