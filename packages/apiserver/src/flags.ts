/** The flags of kube-apiserver, by upstream's names. */
import type { FlagTable, FlagValues } from '@naru/component';
import { tokenFlags } from './authentication/token-flags.ts';
import { authorizationWebhookFlags } from './authorization/webhook-flags.ts';

const noEffect = 'Accepted for compatibility; has no effect.';

export const apiserverFlags = {
  'etcd-servers': {
    type: 'list',
    required: true,
    description: 'Client URLs of the store, comma-separated; the first that answers is used, the others on failure.',
  },
  'etcd-cafile': { type: 'string', description: "CA of the store's certificate." },
  'etcd-certfile': { type: 'string', description: 'Client certificate for the store.' },
  'etcd-keyfile': { type: 'string', description: 'Key of the client certificate for the store.' },
  'etcd-prefix': { type: 'string', default: '/registry', description: 'What all keys in the store begin with.' },
  'etcd-compaction-interval': {
    type: 'duration',
    default: 300_000,
    description: "How often the store's history is compacted; 0: never.",
  },
  'encryption-provider-config': {
    type: 'string',
    description: 'File that says how values are encrypted in the store: aescbc, aesgcm, secretbox, identity.',
  },
  'audit-policy-file': { type: 'string', description: 'File that says what is logged of requests (audit.k8s.io/v1).' },
  'audit-log-path': {
    type: 'string',
    default: '',
    description: 'File that requests are logged to, as --audit-policy-file says; -: stdout; empty: none.',
  },
  'audit-log-maxage': {
    type: 'integer',
    default: 0,
    min: 0,
    description: 'Days that old audit logs are kept; 0: ever.',
  },
  'audit-log-maxbackup': { type: 'integer', default: 0, min: 0, description: 'Old audit logs that are kept; 0: all.' },
  'audit-log-maxsize': {
    type: 'integer',
    default: 0,
    min: 0,
    description: 'Megabytes of the audit log before it is rotated; 0: 100.',
  },
  'event-ttl': { type: 'duration', default: 3_600_000, description: 'How long events are kept.' },
  'bind-address': { type: 'string', default: '0.0.0.0', description: 'Address to listen on.' },
  'secure-port': {
    type: 'integer',
    default: 6443,
    min: 0,
    max: 65535,
    description: 'Port to listen on; 0: a free one.',
  },
  'advertise-address': {
    type: 'string',
    default: '',
    description: 'Address of this server in the endpoints of the kubernetes Service; default the bind address.',
  },
  'tls-cert-file': {
    type: 'string',
    description: "The server's certificate. Without it the server speaks plain HTTP.",
  },
  'tls-private-key-file': { type: 'string', description: "Key of the server's certificate." },
  'client-ca-file': { type: 'string', description: 'CA of the client certificates that are accepted.' },
  'token-auth-file': { type: 'string', description: 'CSV file of tokens: token,user,uid,"group1,group2".' },
  'authorization-mode': {
    type: 'list',
    default: ['AlwaysAllow'],
    description: 'Authorizers in order: Node, RBAC, Webhook, AlwaysAllow, AlwaysDeny.',
  },
  'authorization-config': {
    type: 'string',
    default: '',
    description:
      'File of authorizers in order (AuthorizationConfiguration), instead of --authorization-mode and the flags of its webhook; read again when it changes.',
  },
  ...authorizationWebhookFlags,
  ...tokenFlags,
  'enable-admission-plugins': {
    type: 'list',
    default: [],
    description: 'Plugins beside those that are on by default.',
  },
  'disable-admission-plugins': { type: 'list', default: [], description: 'Plugins that are off.' },
  'admission-control-config-file': {
    type: 'string',
    default: '',
    description:
      'File with what admission plugins are told (AdmissionConfiguration): defaults and exemptions of PodSecurity.',
  },
  'service-cluster-ip-range': {
    type: 'string',
    default: '10.0.0.0/24',
    description: 'Addresses of Services, in CIDR notation.',
  },
  'service-node-port-range': { type: 'string', default: '30000-32767', description: 'Ports of NodePort Services.' },
  'service-account-issuer': { type: 'list', default: [], description: 'Issuer of ServiceAccount tokens.' },
  'service-account-jwks-uri': {
    type: 'string',
    description: "Where the issuer's keys are; default this server.",
  },
  'service-account-signing-key-file': { type: 'string', description: 'Key that signs ServiceAccount tokens.' },
  'service-account-key-file': {
    type: 'list',
    default: [],
    description: 'Keys that verify ServiceAccount tokens, public or private.',
  },
  'api-audiences': { type: 'list', default: [], description: 'Audiences of tokens; default the issuer.' },
  'kubelet-client-certificate': { type: 'string', description: 'Client certificate for kubelets.' },
  'kubelet-client-key': { type: 'string', description: 'Key of the client certificate for kubelets.' },
  'kubelet-certificate-authority': { type: 'string', description: "CA of kubelets' certificates; none: not verified." },
  'kubelet-preferred-address-types': {
    type: 'list',
    default: ['Hostname', 'InternalDNS', 'InternalIP', 'ExternalDNS', 'ExternalIP'],
    description: "Which of a node's addresses to use, most wanted first.",
  },
  'kubelet-timeout': { type: 'duration', default: 5000, description: 'How long to connect to a kubelet.' },
  'enable-priority-and-fairness': {
    type: 'boolean',
    default: true,
    description: 'Whether requests wait and are refused by FlowSchemas and PriorityLevelConfigurations.',
  },
  'max-requests-inflight': {
    type: 'integer',
    default: 400,
    min: 0,
    description:
      'With priority and fairness, a part of the seats that all requests share; without: reads at a time, 0: no limit.',
  },
  'max-mutating-requests-inflight': {
    type: 'integer',
    default: 200,
    min: 0,
    description:
      'With priority and fairness, a part of the seats that all requests share; without: writes at a time, 0: no limit.',
  },
  'request-timeout': {
    type: 'duration',
    default: 60_000,
    description: 'How long a request may last that is no watch and no stream.',
  },
  'min-request-timeout': {
    type: 'integer',
    default: 1800,
    min: 1,
    description: 'Seconds that a watch lasts at least; at most twice of it.',
  },
  'shutdown-delay-duration': {
    type: 'duration',
    default: 0,
    description: 'How long to serve on after readyz fails at shutdown.',
  },
  'apiserver-count': { type: 'integer', default: 1, description: noEffect },
  'endpoint-reconciler-type': {
    type: 'string',
    default: 'lease',
    values: ['lease', 'none', 'master-count'],
    description: 'How the endpoints of the kubernetes Service are kept: lease, or none.',
  },
  'allow-privileged': {
    type: 'boolean',
    default: false,
    description: 'Accepted for compatibility; privileged containers are allowed, unless PodSecurity refuses them.',
  },
  'anonymous-auth': {
    type: 'boolean',
    description: 'Whether callers without credentials are system:anonymous; default on health and version paths only.',
  },
  'requestheader-client-ca-file': { type: 'string', description: "CA of front proxies' client certificates." },
  'requestheader-allowed-names': {
    type: 'list',
    default: [],
    description: "Common names of front proxies' certificates; empty: any.",
  },
  'requestheader-username-headers': {
    type: 'list',
    default: [],
    description: 'Headers in which a front proxy names the user.',
  },
  'requestheader-uid-headers': { type: 'list', default: [], description: "Headers of the user's uid." },
  'requestheader-group-headers': { type: 'list', default: [], description: "Headers of the user's groups." },
  'requestheader-extra-headers-prefix': {
    type: 'list',
    default: [],
    description: "What headers of the user's other properties begin with.",
  },
  'proxy-client-cert-file': {
    type: 'string',
    description: 'Certificate by which servers that extend the API know that this one speaks for others.',
  },
  'proxy-client-key-file': { type: 'string', description: 'Key of --proxy-client-cert-file.' },
  'enable-aggregator-routing': {
    type: 'boolean',
    default: false,
    description:
      'Reach webhooks and servers that extend the API at the endpoints of their Service, not at its ClusterIP.',
  },
  'feature-gates': { type: 'list', default: [], description: noEffect },
  'runtime-config': { type: 'list', default: [], description: noEffect },
  'storage-backend': { type: 'string', default: 'etcd3', values: ['etcd3'], description: noEffect },
  'storage-media-type': { type: 'string', default: 'application/json', description: noEffect },
  'watch-cache': { type: 'boolean', default: true, description: noEffect },
  profiling: { type: 'boolean', default: false, description: noEffect },
  v: { type: 'integer', default: 0, description: noEffect },
} as const satisfies FlagTable;

export type ApiserverFlags = FlagValues<typeof apiserverFlags>;
