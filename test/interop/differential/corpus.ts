import { accessRequests } from './access-requests.ts';
import { APPLY_NAMESPACE, applyRequests } from './apply-requests.ts';
import { definitionRequests } from './definition-requests.ts';
import { requestsOf } from './kind-requests.ts';
import { NAMESPACE, workloadSamples } from './kind-samples.ts';
import { ownershipRequests } from './ownership-requests.ts';
import { podRequests } from './pod-requests.ts';
import { policySamples } from './policy-samples.ts';
import type { CorpusRequest } from './request.ts';
import { serverRequests } from './server-requests.ts';
import { withTypeMeta } from './type-meta.ts';

const namespace = (name: string): CorpusRequest[] => [
  {
    name: `namespace ${name}`,
    method: 'POST',
    path: '/api/v1/namespaces',
    body: { apiVersion: 'v1', kind: 'Namespace', metadata: { name } },
  },
  {
    // Which a controller makes elsewhere; Pods need it.
    name: `default ServiceAccount of ${name}`,
    method: 'POST',
    path: `/api/v1/namespaces/${name}/serviceaccounts`,
    body: { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'default' } },
  },
];

/** Every request, in the order in which it is sent. */
export const corpus: readonly CorpusRequest[] = [
  ...namespace(NAMESPACE),
  ...[...workloadSamples, ...policySamples].flatMap(requestsOf),
  ...[...podRequests, ...accessRequests, ...serverRequests].map(withTypeMeta),
  ...namespace(APPLY_NAMESPACE),
  ...applyRequests,
  ...ownershipRequests,
  ...definitionRequests.map(withTypeMeta),
];
