import type { KnownDifference } from './known-difference.ts';

/** What 1.20's printers say more or less of; columns are compared by their cells. */
const tables: readonly KnownDifference[] = [
  {
    reason: 'Columns have no description but the name’s, which is short: clients show the names of columns only.',
    why: 'lacking',
    at: /columnDefinitions\[\d+\]\.(description|format)$/u,
  },
  {
    reason: 'Counts are integers, 1.20 has some of them as texts.',
    why: 'newer',
    at: /columnDefinitions\[\d+\]\.type$/u,
  },
  { reason: 'Kinds have got columns since 1.20.', why: 'newer', at: /columnDefinitions$/u },
  {
    reason:
      'Columns have been added and reordered since 1.20; CSIDriver, Event and ResourceQuota show less than upstream.',
    why: 'lacking',
    at: /rows\[\d+\]\.cells(\[\d+\])?$/u,
  },
];

/** Go writes empty structs and zeros where its fields have no omitempty. */
const zeros: readonly KnownDifference[] = [
  {
    reason: 'Empty structs and zeros that nobody has set are not said but for the status of workloads.',
    why: 'lacking',
    at: /(\.status(\.(daemonEndpoints|nodeInfo(\.\w+)?|availableReplicas|currentReplicas|desiredReplicas|loadBalancer|attached))?|deprecatedSource|\.lastState|reportingComponent|reportingInstance|\.spec|\.spec\.source|\.template|\.resources|\.strategy|\.updateStrategy)$/u,
    ours: /^(null|0)$/u,
  },
  { reason: 'An empty map is left in place of none.', why: 'lacking', at: /metadata\.labels$/u, ours: /^\{\}$/u },
];

const newer: readonly KnownDifference[] = [
  {
    reason: 'Pods, PodTemplates and Jobs have generations.',
    why: 'newer',
    at: /metadata\.generation$/u,
    request: /^(podtemplates|jobs|pods|limits|daemonsets|access|persistent|resourcequotas|services)/u,
  },
  {
    reason: 'PriorityClass counts no generations upstream.',
    why: 'lacking',
    at: /metadata\.generation$/u,
    request: /^(priorityclasses|csinodes|events|server)/u,
  },
  {
    reason: 'A Job is selected by batch.kubernetes.io/controller-uid.',
    why: 'newer',
    at: /matchLabels\.(batch\.kubernetes\.io\/)?controller-uid$/u,
  },
  {
    reason: 'A patch that is no object is found while it is decoded.',
    why: 'newer',
    at: /^outcome$/u,
    request: /merge patch that is a list$/u,
  },
  {
    reason: 'policy/v1 replaces policy/v1beta1.',
    why: 'newer',
    at: /^(outcome|message)$/u,
    request: /^pods: (evict|get the evicted)/u,
  },
  {
    reason: 'Services can be deleted as a collection.',
    why: 'newer',
    at: /^outcome$/u,
    upstream: /^"405 the server does not allow/u,
  },
  {
    reason: 'The ports of a Service have a default protocol in the schema that applies configurations.',
    why: 'newer',
    at: /^outcome$/u,
    request: /^services: /u,
    upstream: /(omits key field|404)/u,
  },
  {
    reason: 'Unknown fields are told of.',
    why: 'newer',
    at: /^headers\.warning$/u,
  },
];

const go: readonly KnownDifference[] = [
  {
    reason: 'Negotiation of bodies: upstream’s router refuses before the handler does.',
    why: 'choice',
    at: /^(message|outcome)$/u,
    upstream: /(406: Not Acceptable|415: Unsupported Media Type)/u,
  },
  { reason: 'Statuses without details have no empty ones.', why: 'lacking', at: /^body\.details$/u },
  {
    reason: '1.20 panics, which closes the connection.',
    why: 'newer',
    at: /^outcome$/u,
    upstream: /connection was closed/u,
  },
  {
    reason: '1.20 as it is built panics when a CustomResourceDefinition is created: what follows is not there.',
    why: 'newer',
    at: /^(outcome|message)$/u,
    request: /^custom: /u,
    upstream: /404 |not found/u,
  },
  {
    reason: 'Vary: Accept of aggregated discovery; headers of text pages.',
    why: 'newer',
    at: /^headers\.(vary|x-content-type-options|content-type|cache-control|allow|www-authenticate|location|retry-after)$/u,
  },
  {
    reason: 'Who we are.',
    why: 'choice',
    at: /^body\.(major|minor|git\w+|goVersion|compiler|platform|buildDate|emulation\w+|minCompatibility\w+)$/u,
  },
  {
    reason: 'Other groups, versions and health checks are there.',
    why: 'newer',
    at: /^body\.paths/u,
    request: /^server: \/$/u,
  },
  { reason: 'The address of the server.', why: 'choice', at: /serverAddress(ByClientCIDRs)?/u },
];

const refusals: readonly KnownDifference[] = [
  {
    reason: 'A kind or version that nobody knows is told in fewer words.',
    why: 'lacking',
    at: /^message$/u,
    request: /: create another (kind|version)$/u,
  },
  {
    reason: 'A precondition that does not hold is told in the words of the store, where upstream has two wordings.',
    why: 'lacking',
    at: /^message$/u,
    request: /: (delete (of another uid|at another version)|update of another uid)$/u,
  },
  {
    reason: 'An update without a version is refused with 0 instead of 0x0.',
    why: 'newer',
    at: /^message$/u,
    request: /: update(, dry run| without a version)$/u,
    upstream: /0x0/u,
  },
  {
    reason: 'A dry run answers with the resourceVersion that it was given.',
    why: 'lacking',
    at: /^body\.metadata\.resourceVersion$/u,
    request: /: create with a resourceVersion$/u,
  },
];

const admission: readonly KnownDifference[] = [
  {
    reason: '1.20 takes applying the same for a change where admission has added a finalizer.',
    why: 'newer',
    at: /^body\.metadata\.resourceVersion$/u,
    request: /^persistentvolume(claim)?s: (apply (again|with force|less)|delete what was applied)$/u,
  },
  {
    reason: 'DaemonSets have no deprecated.daemonset.template.generation.',
    why: 'lacking',
    at: /metadata\.annotations$/u,
    request: /^daemonsets/u,
  },
  {
    reason: 'A patch of the status of a Deployment or a VolumeAttachment changes its labels, too.',
    why: 'lacking',
    at: /metadata\.labels\.ofStatus$/u,
  },
];

const chance: readonly KnownDifference[] = [
  {
    reason: '1.20 takes applying the same StatefulSet in another second for a change.',
    why: 'newer',
    at: /(resourceVersion|^body)$/u,
    request: /^statefulsets\.apps: (apply (again|with force|less)|watch all that happened)$/u,
    sometimes: true,
  },
  {
    reason: 'Which of two bindings allows what both allow is the order of a map.',
    why: 'go',
    at: /^body\.status\.(reason|nonResourceRules)/u,
    request: /^access: (may eve get the version|what may I)/u,
    sometimes: true,
  },
  {
    reason: 'Conflicts with several managers come in the order of a map.',
    why: 'go',
    at: /^(message|body\.(message|details\.causes\[\d+\]\.(field|message)))$/u,
    request: /^server: apply a conflict of two$/u,
    sometimes: true,
  },
];

export const knownDifferences: readonly KnownDifference[] = [
  ...tables,
  ...zeros,
  ...newer,
  ...go,
  ...refusals,
  ...admission,
  ...chance,
];
