import {
  apiVersionOf,
  deployments,
  fieldDuplicate,
  fieldForbidden,
  fieldInvalid,
  fieldNotFound,
  fieldNotSupported,
  fieldRequired,
  fieldTooLong,
  formatFieldError,
  isAlreadyExists,
  isConflict,
  isGone,
  isInvalid,
  isNotFound,
  newAlreadyExists,
  newBadRequest,
  newConflict,
  newExpired,
  newForbidden,
  newGone,
  newInternalError,
  newInvalid,
  newMethodNotSupported,
  newModifiedConflict,
  newNotFound,
  nodes,
  parseApiVersion,
  pathOf,
  pods,
} from '@naru/api';
import t from 'tap';

const podResource = { group: '', resource: 'pods' };
const deploymentResource = { group: 'apps', resource: 'deployments' };

await t.test('errors say what upstream’s say', (t) => {
  t.strictSame(newNotFound(podResource, 'a').status, {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Failure',
    message: 'pods "a" not found',
    reason: 'NotFound',
    details: { name: 'a', kind: 'pods' },
    code: 404,
  });
  t.strictSame(newAlreadyExists(deploymentResource, 'a').status.details, {
    name: 'a',
    group: 'apps',
    kind: 'deployments',
  });
  const table = [
    [newAlreadyExists(deploymentResource, 'a'), 409, 'deployments.apps "a" already exists'],
    [newConflict(podResource, 'a', 'why'), 409, 'Operation cannot be fulfilled on pods "a": why'],
    [
      newModifiedConflict(podResource, 'a'),
      409,
      'Operation cannot be fulfilled on pods "a": the object has been modified; please apply your changes to the latest version and try again',
    ],
    [newForbidden(podResource, '', 'why'), 403, 'pods is forbidden: why'],
    [newForbidden(deploymentResource, 'a', 'why'), 403, 'deployments.apps "a" is forbidden: why'],
    [newMethodNotSupported(podResource, 'dance'), 405, 'dance is not supported on resources of kind "pods"'],
    [newBadRequest('why'), 400, 'why'],
    [newGone('why'), 410, 'why'],
    [newInternalError('why'), 500, 'Internal error occurred: why'],
  ] as const;
  for (const [error, code, message] of table) {
    t.equal(error.code, code);
    t.equal(error.message, message);
    t.equal(error.status.message, message);
  }
  t.ok(isNotFound(newNotFound(podResource, 'a')));
  t.ok(isAlreadyExists(newAlreadyExists(podResource, 'a')) && !isConflict(newAlreadyExists(podResource, 'a')));
  t.ok(isGone(newGone('x')) && isGone(newExpired('x')));
  t.notOk(isNotFound(new Error('not found')));
  t.end();
});

await t.test('field errors print as upstream’s', (t) => {
  const table = [
    [fieldRequired('spec.a'), 'spec.a: Required value'],
    [fieldRequired('spec.a', 'say it'), 'spec.a: Required value: say it'],
    [fieldInvalid('a[0].b', 'x', 'must be y'), 'a[0].b: Invalid value: "x": must be y'],
    [fieldInvalid('a', 5, 'must be y'), 'a: Invalid value: 5: must be y'],
    [fieldInvalid('a', { b: ['c'] }, 'no'), 'a: Invalid value: {"b":["c"]}: no'],
    [fieldInvalid('a', null, 'no'), 'a: Invalid value: "null": no'],
    [fieldDuplicate('a', 'x'), 'a: Duplicate value: "x"'],
    [fieldNotFound('a', 'x'), 'a: Not found: "x"'],
    [fieldForbidden('a', 'no'), 'a: Forbidden: no'],
    [fieldNotSupported('a', 'x', ['y', 'z']), 'a: Unsupported value: "x": supported values: "y", "z"'],
    [fieldTooLong('a', 63), 'a: Too long: may not be more than 63 bytes'],
  ] as const;
  for (const [error, text] of table) t.equal(formatFieldError(error), text);
  t.end();
});

await t.test('an invalid object is told all that is wrong, each once in the message', (t) => {
  const one = newInvalid({ group: 'apps', kind: 'Deployment' }, 'a', [fieldRequired('spec.x')]);
  t.equal(one.message, 'Deployment.apps "a" is invalid: spec.x: Required value');
  t.strictSame(one.status.details, {
    name: 'a',
    group: 'apps',
    kind: 'Deployment',
    causes: [{ reason: 'FieldValueRequired', message: 'Required value', field: 'spec.x' }],
  });
  t.ok(isInvalid(one));
  t.equal(one.code, 422);
  const two = newInvalid({ group: '', kind: 'Pod' }, '', [
    fieldRequired('a'),
    fieldForbidden('b', 'no'),
    fieldRequired('a'),
  ]);
  t.equal(two.message, 'Pod "" is invalid: [a: Required value, b: Forbidden: no]');
  t.equal(two.status.details?.causes?.length, 3);
  t.end();
});

await t.test('paths and API versions', (t) => {
  t.equal(pathOf(pods, { namespace: 'a', name: 'b', subresource: 'status' }), '/api/v1/namespaces/a/pods/b/status');
  t.equal(pathOf(pods), '/api/v1/pods');
  t.equal(pathOf(deployments, { namespace: 'a' }), '/apis/apps/v1/namespaces/a/deployments');
  t.equal(pathOf(nodes, { namespace: 'a', name: 'b/c' }), '/api/v1/nodes/b%2Fc');
  t.equal(apiVersionOf(deployments), 'apps/v1');
  t.equal(apiVersionOf(pods), 'v1');
  t.strictSame(parseApiVersion('apps/v1'), { group: 'apps', version: 'v1' });
  t.strictSame(parseApiVersion('v1'), { group: '', version: 'v1' });
  t.end();
});
