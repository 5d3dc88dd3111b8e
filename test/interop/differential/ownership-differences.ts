import type { KnownDifference } from './known-difference.ts';

/** What server-side apply and managedFields have become since 1.20. */
const newer: readonly KnownDifference[] = [
  {
    reason:
      'What a write cannot set is nobody’s by it: status by a write of the object, the rest by one of the status, the spec of a CertificateSigningRequest.',
    why: 'newer',
    at: /\.fields\.(f:status(\.f:(phase|capacity|allocatable)(\..*)?)?|f:metadata\.f:labels\.f:ofStatus|f:spec\.f:nodeName)$/u,
    ours: /^null$/u,
  },
  {
    reason: 'What a write cannot set is nobody’s by it: nothing but metadata of a CertificateSigningRequest.',
    why: 'newer',
    at: /managedFields(\.\w+ Apply certificates\S+|\.\w+ (Apply|Update) certificates\.k8s\.io\/v1\.fields\.f:spec)?$/u,
    request: /^certificatesigningrequests\S+: /u,
    ours: /^null$/u,
  },
  {
    reason: 'A write of the status has nothing to do with the spec, even if it says something of it.',
    why: 'newer',
    at: /\.fields\.f:spec$/u,
    request: /^apply: the status with a spec$/u,
    ours: /^null$/u,
  },
  {
    reason: 'References, selectors and the like are owned as a whole.',
    why: 'newer',
    at: /\.f:(roleRef|scaleTargetRef|requiredDuringSchedulingIgnoredDuringExecution|involvedObject|regarding|fieldRef|nodeSelector|selector|port|ownerReferences\.k:\{"uid":"\w+"\}|(imagePullSecrets|secrets)\.k:\{"name":"\w+"\})\.(\.|f:\w+)$/u,
  },
  {
    reason: 'References, selectors and the like are owned as a whole: who sets another part is in the way.',
    why: 'newer',
    at: /^outcome$/u,
    request: /^apply: where else it may run$/u,
    ours: /409 .*nodeSelector"$/u,
  },
  {
    reason: 'creationTimestamps that are null are not there.',
    why: 'newer',
    at: /\.f:metadata\.f:creationTimestamp$/u,
    ours: /^null$/u,
  },
  {
    reason: 'Namespaces have their name as a label.',
    why: 'newer',
    at: /\.fields\.f:metadata$/u,
    request: /^(namespaces?|limits|apply: the server’s own namespaces)\b/u,
    ours: /^\{"f:labels":\{"\.":"owned"\}\}$/u,
  },
  {
    reason: 'Who applies an empty map or a null owns it.',
    why: 'newer',
    at: /\.f:(data|labels|finalizers|emptyDir)$/u,
    request: /^(apply|server): /u,
    ours: /^\{"\.":"owned"\}$/u,
    upstream: /^null$/u,
  },
  {
    reason: 'Who applies nothing but empty maps owns them.',
    why: 'newer',
    at: /managedFields(\.one Apply v1)?$/u,
    request: /^(apply: (one takes away its labels|empty maps)|server: (apply .*|update the owned))$/u,
    upstream: /^null$/u,
  },
  {
    reason: 'Elements of lists come in the order of who applies them.',
    why: 'newer',
    at: /^(body\.(metadata\.(finalizers\[\d+\]|generation)|spec\.template\.spec\.containers\[\d+\]\.\S+)|message)$/u,
    request: /^apply: ((more|fewer|no) finalizers|both the other way round|several that are wrong)$/u,
  },
  {
    reason: 'A configuration that does not fit the schema is named.',
    why: 'newer',
    at: /^message$/u,
    upstream: /"500 failed to create typed patch object: /u,
  },
  {
    reason: 'What is owned by a subresource is owned so, a scale included.',
    why: 'newer',
    at: /^(message|outcome)$/u,
    ours: /409 Apply failed with .* with subresource /u,
  },
  {
    reason: 'Who changes a scale owns the replicas.',
    why: 'newer',
    at: /managedFields\.scaler Update apps\/v1$/u,
    upstream: /^null$/u,
  },
  {
    reason: 'Conflicts name each field, where 1.20 names the last one of a list’s element for all of them.',
    why: 'newer',
    at: /^message$/u,
    request: /^apply: much else$/u,
  },
  {
    reason: 'Entries with an operation or a version that is none are not taken.',
    why: 'newer',
    at: /^(outcome|body\.metadata\.managedFields\.renamed Apply v1)$/u,
    request: /^apply: update with entries with (an operation that is none|no version)$/u,
  },
  {
    reason: 'Entries of a manager whose name is too long are told by their place.',
    why: 'newer',
    at: /^message$/u,
    request: /^apply: update with entries with a long manager$/u,
  },
  {
    reason: 'Pods and Jobs have generations, and are cleaned up when they have finished.',
    why: 'newer',
    at: /^body\.(metadata\.generation|spec\.ttlSecondsAfterFinished)$/u,
    request: /^apply: .*\b(job|pod)\b/u,
    upstream: /^null$/u,
  },
];

const others: readonly KnownDifference[] = [
  {
    reason: 'Times that nobody has set are null in Go, and owned where they are written.',
    why: 'go',
    at: /\.f:(lastTransitionTime|lastProbeTime|lastHeartbeatTime)$/u,
    ours: /^null$/u,
  },
  {
    reason: 'DaemonSets have no deprecated.daemonset.template.generation.',
    why: 'lacking',
    at: /\.f:metadata\.f:annotations$/u,
    request: /^daemonsets/u,
  },
  {
    reason: 'Services that were updated on one side only have other owners.',
    why: 'newer',
    at: /\.(f:labels\.f:(put|json|strategic)|f:metadata\.f:finalizers|f:spec\.f:sessionAffinityConfig)$/u,
    request: /^services: /u,
  },
];

export const ownershipDifferences: readonly KnownDifference[] = [...newer, ...others];
