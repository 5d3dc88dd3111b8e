import type { KnownDifference } from './known-difference.ts';
import { ownershipDifferences } from './ownership-differences.ts';

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

/** How messages and Statuses are worded by now. */
const wording: readonly KnownDifference[] = [
  {
    reason: 'Decoding errors name the field as encoding/json does, not by json-iterator’s place in the text.',
    why: 'newer',
    at: /^message$/u,
    upstream: /error found in #\d+ byte of/u,
  },
  {
    reason: 'Quantities, percentages and bytes in messages are printed as JSON instead of as Go structs.',
    why: 'newer',
    at: /^message$/u,
    request:
      /^(limitranges: create with a (minimum over the maximum|default over the maximum|ratio below one)|resourcequotas: create with half a pod|deployments\.apps: create with (two zeros of a rolling update|a percentage that is none)|certificatesigningrequests\.certificates\.k8s\.io: create (nothing|with (a request|no usages|a usage)))/u,
    upstream: /Invalid value: VALUE/u,
  },
  {
    reason: 'What changed in a spec that may not change is printed as Go structs of internal types.',
    why: 'go',
    at: /^message$/u,
    upstream: /\\n\s*core\.\w+\{/u,
  },
  {
    reason: 'Ingress and NetworkPolicy are kinds of networking.k8s.io, no longer of extensions, in messages, too.',
    why: 'newer',
    at: /^message$/u,
    request: /^(ingresses|networkpolicies)\.networking/u,
    upstream: /(Ingress|NetworkPolicy)\.extensions/u,
  },
  {
    reason:
      'Supported values come in the order of the alphabet and know newer ones; paths and texts have been corrected.',
    why: 'newer',
    at: /^message$/u,
    request:
      /^(pods: create (a host name that is none|a DNS policy that is none|requests over limits)|priorityclasses\S+: (create with a policy that is none|merge patch with another value)|persistentvolumeclaims: create with a mode that is none|leases\S+: create with negative transitions|services: create with local traffic|statefulsets\.apps: merge patch with another service|daemonsets\.apps: create with an update of nothing|nodes: merge patch with another (podCIDR|providerID)|secrets: create with an SSH key|server: (two owners that control|a long name|too many annotations|a bad field manager|an exact list at version 0|a match of a watch|a list by a b|apply an unknown field))/u,
  },
  {
    reason: 'An address or a network that is none has one message for all kinds.',
    why: 'newer',
    at: /^message$/u,
    ours: /must be a valid (IP address|CIDR value), \(e\.g\. [\d.]+(\/\d+)? or /u,
    request: /^(endpoints|nodes): create with (an address|a podCIDR)/u,
  },
];

/** What reads, writes and discovery do otherwise by now. */
const behaviour: readonly KnownDifference[] = [
  {
    reason: 'What is deleted is answered with the resourceVersion of its deletion.',
    why: 'newer',
    at: /^body\.metadata\.resourceVersion$/u,
    request: /: delete( what was applied)?$/u,
  },
  {
    reason: 'Services keep their allocated addresses in updates, get them in dry runs, and are answered when deleted.',
    why: 'newer',
    at: /(outcome|clusterIPs?|resourceVersion|labels\.(put|json|strategic)|finalizers|^body|^body\.items)$/u,
    request:
      /^services: (create|update|get|merge patch|JSON patch|strategic merge patch|patch status|apply status|delete|list after deletion|watch)/u,
  },
  {
    reason: 'Services are selected by spec.clusterIP and spec.type: other fields are refused in other words.',
    why: 'newer',
    at: /^message$/u,
    request: /^services: list by a field that is none$/u,
  },
  {
    reason: 'Names are generated before a LimitRange without a name gets one.',
    why: 'newer',
    at: /^body\.metadata\.name$/u,
    request: /^limitranges: create with a generated name$/u,
  },
  {
    reason: 'A write of nothing but what a strategy resets is no change, where 1.20 changes managedFields.',
    why: 'newer',
    at: /resourceVersion$/u,
    request: /^pods: (patch its status by the way|get when it is bound|patch status|list|delete)/u,
  },
  {
    reason: 'A negative grace period of a Pod is made 1.',
    why: 'newer',
    at: /terminationGracePeriodSeconds$/u,
    request: /^pods: create a negative grace period$/u,
  },
  {
    reason: 'Beta versions have gone, resources have singular names.',
    why: 'newer',
    at: /^body\.(versions(\[\d+\]\.(groupVersion|version))?|preferredVersion\.\w+|resources\[\d+\]\.singularName)$/u,
    request: /^server: the (group|version) /u,
  },
  {
    reason: 'Hashes of storage versions tell apart servers that store otherwise, which ours never do.',
    why: 'lacking',
    at: /storageVersionHash$/u,
  },
  {
    reason: 'What no server has is a page not found, no list of paths.',
    why: 'newer',
    at: /^body$/u,
    request: /^server: \/(healthz\/)?none$/u,
  },
  {
    reason: 'Some strategies validate twice, which only says the same causes twice.',
    why: 'choice',
    at: /^body\.details\.causes$/u,
    request:
      /^((csidrivers|csinodes|daemonsets|replicasets|jobs)\S+: |pods: add a finalizer too late$|apply: an? (owner without uid|new one with a uid|old one with another uid)$)/u,
  },
  {
    reason: 'Addresses of endpoints may be loopback ones: without root, pods have no others.',
    why: 'choice',
    at: /^outcome$/u,
    request: /^endpoints: create with a loopback address$/u,
  },
  {
    reason: 'Callers without credentials are nobody by default, and not system:anonymous, but for paths about health.',
    why: 'choice',
    at: /^outcome$/u,
    request: /^access: nobody gets pods$/u,
  },
  {
    reason: 'The Pod that policy/v1beta1 evicted is still there, and so is who may ask who he is.',
    why: 'newer',
    at: /^body\.(items|status\.resourceRules)$/u,
    request: /^access: (joe lists pods|the admin as joe|what may I)$/u,
  },
  {
    reason: 'ResourceQuotas have their age in the last column.',
    why: 'newer',
    at: /columnDefinitions\[\d+\]\.name$/u,
    request: /^resourcequotas: /u,
  },
  {
    reason: 'Lists that Go always writes are null where they are empty.',
    why: 'go',
    at: /spec\.drivers$/u,
    request: /^csinodes\S+: /u,
    ours: /^\[\]$/u,
  },
  {
    reason: 'The order of fields of YAML, and what JSON discovery says otherwise.',
    why: 'go',
    at: /^body$/u,
    request: /^server: discovery as YAML$/u,
  },
  {
    reason: 'Errors of parsers of JSON and YAML are in the words of ours.',
    why: 'choice',
    at: /^message$/u,
    request:
      /^(server: (YAML with a tab|JSON that goes on|apply what is no YAML|patch that is no JSON|patch strategic and bad|a page of a bad token)|secrets: create with docker config that is not JSON)$/u,
  },
  {
    reason: 'The stores are at other revisions.',
    why: 'choice',
    at: /^message$/u,
    request: /^server: a (list|get) of the future$/u,
    ours: /504 Timeout: Too large resource version: 99999999, current: \d+/u,
  },
  {
    reason: 'A resourceVersion that is no number is a bad request.',
    why: 'newer',
    at: /^outcome$/u,
    ours: /^"400 invalid resource version/u,
  },
  {
    reason:
      'What a PUT, an apply or a patch makes is decoded strictly before anything else: a type that is wrong is a 400.',
    why: 'choice',
    at: /^outcome$/u,
    request: /^server: (apply a bad type|patch with a bad type|patch of its kind|patch of bad JSON)$/u,
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
  ...wording,
  ...behaviour,
  ...go,
  ...refusals,
  ...admission,
  ...ownershipDifferences,
  ...chance,
];
