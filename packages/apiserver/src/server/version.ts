/** The Kubernetes release whose API this is. */
export const kubernetesVersion = 'v1.36.0';

/** `/version`: the Kubernetes version whose API this is. */
export function versionDocument(): object {
  return {
    major: '1',
    minor: '36',
    gitVersion: `${kubernetesVersion}+naru.0.1.0`,
    gitCommit: '',
    gitTreeState: 'clean',
    buildDate: '1970-01-01T00:00:00Z',
    goVersion: '',
    compiler: `node ${process.versions.node}`,
    platform: `${process.platform}/${process.arch === 'x64' ? 'amd64' : process.arch}`,
  };
}
