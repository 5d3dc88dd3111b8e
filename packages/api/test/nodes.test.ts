import {
  findUntoleratedTaint,
  isTolerated,
  matchesNodeAffinity,
  type Node,
  nodeSelectorTermMatches,
  type NodeSelectorTerm,
  type Taint,
  type Toleration,
  tolerates,
} from '@naru/api';
import t from 'tap';

const node: Node = {
  apiVersion: 'v1',
  kind: 'Node',
  metadata: { name: 'n1', labels: { zone: 'a', size: '10', empty: '' } },
};

await t.test('terms of a node selector', (t) => {
  const table: readonly (readonly [string, NodeSelectorTerm, boolean])[] = [
    ['nothing', {}, false],
    ['In', { matchExpressions: [{ key: 'zone', operator: 'In', values: ['a', 'b'] }] }, true],
    ['In without the label', { matchExpressions: [{ key: 'rack', operator: 'In', values: ['a'] }] }, false],
    ['NotIn', { matchExpressions: [{ key: 'zone', operator: 'NotIn', values: ['a'] }] }, false],
    ['NotIn without the label', { matchExpressions: [{ key: 'rack', operator: 'NotIn', values: ['a'] }] }, true],
    ['Exists', { matchExpressions: [{ key: 'empty', operator: 'Exists' }] }, true],
    ['DoesNotExist', { matchExpressions: [{ key: 'empty', operator: 'DoesNotExist' }] }, false],
    ['no inherited label', { matchExpressions: [{ key: 'constructor', operator: 'Exists' }] }, false],
    ['Gt', { matchExpressions: [{ key: 'size', operator: 'Gt', values: ['9'] }] }, true],
    ['Lt', { matchExpressions: [{ key: 'size', operator: 'Lt', values: ['9'] }] }, false],
    ['Gt of no number', { matchExpressions: [{ key: 'zone', operator: 'Gt', values: ['9'] }] }, false],
    ['an unknown operator', { matchExpressions: [{ key: 'zone', operator: 'Near', values: ['a'] }] }, false],
    ['a field', { matchFields: [{ key: 'metadata.name', operator: 'In', values: ['n1'] }] }, true],
    ['another field', { matchFields: [{ key: 'spec.x', operator: 'Exists' }] }, false],
    [
      'all must hold',
      {
        matchExpressions: [
          { key: 'zone', operator: 'In', values: ['a'] },
          { key: 'size', operator: 'In', values: ['9'] },
        ],
      },
      false,
    ],
  ];
  for (const [name, term, matches] of table) t.equal(nodeSelectorTermMatches(term, node), matches, name);
  t.end();
});

await t.test('nodeSelector and required affinity must both hold, of the terms one', (t) => {
  const required = (...terms: NodeSelectorTerm[]) => ({
    nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: terms } },
  });
  const zone = (value: string): NodeSelectorTerm => ({
    matchExpressions: [{ key: 'zone', operator: 'In', values: [value] }],
  });
  t.equal(matchesNodeAffinity(undefined, node), true);
  t.equal(matchesNodeAffinity({ nodeSelector: { zone: 'a' } }, node), true);
  t.equal(matchesNodeAffinity({ nodeSelector: { zone: 'b' } }, node), false);
  t.equal(matchesNodeAffinity({ affinity: required(zone('b'), zone('a')) }, node), true);
  t.equal(matchesNodeAffinity({ affinity: required(zone('b')) }, node), false);
  t.equal(matchesNodeAffinity({ affinity: required() }, node), false);
  t.equal(matchesNodeAffinity({ nodeSelector: { zone: 'b' }, affinity: required(zone('a')) }, node), false);
  t.end();
});

await t.test('tolerations', (t) => {
  const taint: Taint = { key: 'k', value: 'v', effect: 'NoSchedule' };
  const table: readonly (readonly [Toleration, boolean])[] = [
    [{ key: 'k', operator: 'Equal', value: 'v', effect: 'NoSchedule' }, true],
    [{ key: 'k', value: 'v' }, true],
    [{ key: 'k', value: 'w' }, false],
    [{ key: 'k', operator: 'Exists' }, true],
    [{ operator: 'Exists' }, true],
    [{ operator: 'Exists', effect: 'NoExecute' }, false],
    [{ key: 'other', operator: 'Exists' }, false],
    [{ value: 'v' }, false],
    [{ key: 'k', operator: 'Near', value: 'v' }, false],
  ];
  for (const [toleration, expected] of table)
    t.equal(tolerates(toleration, taint), expected, JSON.stringify(toleration));
  t.equal(isTolerated(undefined, taint), false);
  const prefer: Taint = { key: 'p', effect: 'PreferNoSchedule' };
  const evict: Taint = { key: 'e', effect: 'NoExecute' };
  t.equal(findUntoleratedTaint([prefer, taint, evict], [{ key: 'k', operator: 'Exists' }]), evict);
  t.equal(findUntoleratedTaint([prefer], []), undefined);
  t.equal(findUntoleratedTaint(undefined, []), undefined);
  t.end();
});
