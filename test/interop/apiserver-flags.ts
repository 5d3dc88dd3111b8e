/**
 * The flags that the real kube-apiserver and ours are both started with, on loopback. The files lie in the working folder:
 * `ca.crt`, `apiserver.crt` and `.key`, `sa.key`, `tokens.csv`.
 */
export function apiserverFlags(options: {
  readonly port: number;
  readonly etcdServers: string;
  /** As `Node,RBAC`. */
  readonly authorizationMode: string;
}): readonly string[] {
  return [
    `--etcd-servers=${options.etcdServers}`,
    `--secure-port=${options.port}`,
    '--bind-address=127.0.0.1',
    '--service-account-issuer=https://kubernetes.default.svc',
    '--service-account-signing-key-file=sa.key',
    '--service-account-key-file=sa.key',
    '--client-ca-file=ca.crt',
    '--tls-cert-file=apiserver.crt',
    '--tls-private-key-file=apiserver.key',
    '--token-auth-file=tokens.csv',
    `--authorization-mode=${options.authorizationMode}`,
    '--service-cluster-ip-range=10.0.0.0/16',
  ];
}
