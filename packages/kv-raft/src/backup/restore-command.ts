import { helpText, parseFlags, UsageError, type FlagTable } from '@naru/component';
import { flags as memberFlags, parseInitialCluster, checkInitialCluster } from '../flags.ts';
import { restoreBackup } from './restore.ts';

/** etcdutl's flags of `snapshot restore`, by their names. */
export const restoreFlags = {
  name: memberFlags.name,
  'data-dir': memberFlags['data-dir'],
  'initial-cluster': memberFlags['initial-cluster'],
  'initial-cluster-token': memberFlags['initial-cluster-token'],
  'initial-advertise-peer-urls': memberFlags['initial-advertise-peer-urls'],
  'bump-revision': {
    type: 'integer',
    default: 0,
    min: 0,
    description: 'How much to increase the latest revision after restore.',
  },
  'mark-compacted': {
    type: 'boolean',
    default: false,
    description: 'Count all revisions before the new latest one as compacted; needs --bump-revision.',
  },
  'skip-hash-check': { type: 'boolean', default: false, description: 'Ignore the checksum of the snapshot.' },
} as const satisfies FlagTable;

const SUMMARY = 'Makes the data dir of a member of a new cluster out of a file of `etcdctl snapshot save`.';

/**
 * `kv-raft restore FILE [flags]`. Prints what was made, or the help.
 * @throws UsageError that names the flag, Error when the file cannot be restored
 */
export async function restoreCommand(argv: readonly string[], print: (line: string) => void): Promise<void> {
  if (argv.includes('--help') || argv.includes('-h')) {
    print(helpText('kv-raft restore FILE', SUMMARY, restoreFlags).trimEnd());
    return;
  }
  const [file, ...rest] = argv;
  if (file === undefined || file.startsWith('-')) throw new UsageError('restore needs the snapshot file, then flags');
  const values = parseFlags(restoreFlags, rest);
  const [bumpRevision, markCompacted] = [values['bump-revision'], values['mark-compacted']];
  if (bumpRevision > 0 !== markCompacted) throw new UsageError('--bump-revision and --mark-compacted go together');
  const initialCluster = parseInitialCluster(values);
  checkInitialCluster(values, initialCluster);
  const dataDir = values['data-dir'] ?? `${values.name}.etcd`;
  const { memberId, clusterId, revision } = await restoreBackup({
    file,
    dataDir,
    name: values.name,
    initialCluster,
    initialClusterToken: values['initial-cluster-token'],
    bumpRevision,
    markCompacted,
    skipHashCheck: values['skip-hash-check'],
  });
  const ids = { cluster: clusterId.toString(16), member: memberId.toString(16) };
  print(JSON.stringify({ ...ids, name: values.name, dataDir, revision, msg: 'restored' }));
}
