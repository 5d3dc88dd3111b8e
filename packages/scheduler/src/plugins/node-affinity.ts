import { matchesNodeAffinity as specMatchesNode, nodeSelectorTermMatches, type Node } from '@naru/api';
import type { NodeInfo } from '../framework/node-info.ts';
import { normalizeScores, unresolvable, type Plugin, type QueueingHint } from '../framework/plugin.ts';
import type { PodInfo } from '../framework/pod-info.ts';

const reason = "node(s) didn't match Pod's node affinity/selector";

/** Whether the node has what the pod's nodeSelector and required node affinity ask for. */
export function matchesNodeAffinity(pod: PodInfo, node: Node): boolean {
  return specMatchesNode(pod.pod.spec, node);
}

/** The nodes that the terms name by metadata.name; undefined when a term names none, so that any node may match. */
function namedNodes(pod: PodInfo): ReadonlySet<string> | undefined {
  const required = pod.pod.spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  if (required === undefined || required.nodeSelectorTerms.length === 0) return undefined;
  const names = new Set<string>();
  for (const term of required.nodeSelectorTerms) {
    let ofTerm: Set<string> | undefined;
    for (const { key, operator, values } of term.matchFields ?? []) {
      if (key !== 'metadata.name' || operator !== 'In') continue;
      const wanted = new Set(values ?? []);
      ofTerm = ofTerm === undefined ? wanted : ofTerm.intersection(wanted);
    }
    if (ofTerm === undefined) return undefined;
    for (const name of ofTerm) names.add(name);
  }
  return names;
}

const nowMatches: QueueingHint = (pod, event) => {
  if (event.kind === 'NodeAdd') return matchesNodeAffinity(pod, event.node);
  return event.kind === 'NodeUpdate' && matchesNodeAffinity(pod, event.node) && !matchesNodeAffinity(pod, event.old);
};

/** nodeSelector and node affinity; preferred terms as a score. */
export const nodeAffinity: Plugin<undefined, undefined | true> = {
  name: 'NodeAffinity',
  events: [
    { kind: 'NodeAdd', hint: nowMatches },
    { kind: 'NodeUpdate', hint: nowMatches },
  ],
  preFilter(pod) {
    const spec = pod.pod.spec;
    const required = spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
    if (required === undefined && Object.keys(spec?.nodeSelector ?? {}).length === 0) return { kind: 'skip' };
    const nodeNames = namedNodes(pod);
    if (nodeNames?.size === 0) return { kind: 'rejected', rejection: unresolvable('pod affinity terms conflict') };
    return { kind: 'filter', state: undefined, ...(nodeNames === undefined ? {} : { nodeNames }) };
  },
  filter(pod, { node }) {
    return node !== undefined && matchesNodeAffinity(pod, node) ? undefined : unresolvable(reason);
  },
  preScore(pod) {
    const preferred = pod.pod.spec?.affinity?.nodeAffinity?.preferredDuringSchedulingIgnoredDuringExecution;
    return (preferred ?? []).length === 0 ? undefined : true;
  },
  score(pod, { node }: NodeInfo) {
    const preferred = pod.pod.spec?.affinity?.nodeAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? [];
    let score = 0;
    for (const { weight, preference } of preferred)
      if (node !== undefined && nodeSelectorTermMatches(preference, node)) score += weight;
    return score;
  },
  normalizeScores(scores) {
    normalizeScores(scores);
  },
};
