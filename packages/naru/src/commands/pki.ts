import { resolve } from 'node:path';
import { parseFlags, type FlagTable } from '@naru/component';
import { nodeName } from '../topology.ts';
import { dataDirFlag, type Command } from './command.ts';

const pkiFlags = {
  ...dataDirFlag,
  server: { type: 'string', required: true, description: "URL of the API server in the components' kubeconfigs." },
  'admin-server': {
    type: 'string',
    description: "URL of the API server in the admin's kubeconfig (default --server).",
  },
  hosts: {
    type: 'list',
    default: ['localhost', '127.0.0.1'],
    description: "Names and addresses of the API server's certificate.",
  },
  kv: { type: 'integer', min: 1, max: 9, default: 3, description: 'Members of the store; member I is the host kv-I.' },
  'node-addresses': { type: 'list', default: [], description: 'Address of each node; node I is called node-I.' },
} as const satisfies FlagTable;

export const pkiCommand: Command = {
  summary: 'make the certificates and kubeconfigs of a cluster that is started by other means',
  usage: 'naru pki [flags]',
  flags: pkiFlags,
  async run(context) {
    const values = parseFlags(pkiFlags, context.argv);
    const dir = resolve(context.cwd, values['data-dir']);
    const { ensureClusterPki } = await import('../pki/cluster-pki.ts');
    await ensureClusterPki({
      dir,
      kubeconfigDir: dir,
      server: values.server,
      adminServer: values['admin-server'] ?? values.server,
      apiserverHosts: [...values.hosts, 'kubernetes', 'kubernetes.default', 'kubernetes.default.svc'],
      storeMembers: Array.from({ length: values.kv }, (_, i) => {
        const name = `kv-${i + 1}`;
        return { name, hosts: [name, 'localhost', '127.0.0.1'] };
      }),
      nodes: values['node-addresses'].map((address, i) => ({ name: nodeName(i + 1), number: i + 1, hosts: [address] })),
    });
    context.print(`certificates and kubeconfigs are in ${dir}`);
    return 0;
  },
};
