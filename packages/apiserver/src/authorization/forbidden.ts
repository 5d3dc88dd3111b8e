import { newStatusError, type StatusError } from '@naru/api';
import type { AuthorizationAttributes } from './authorizer.ts';

/** The 403 of a request that the authorizer does not allow. */
export function newForbiddenRequest(attributes: AuthorizationAttributes, reason: string): StatusError {
  const { user, verb, group, resource, subresource, namespace, name } = attributes;
  const quotedUser = JSON.stringify(user.name);
  const why = reason === '' ? '' : `: ${reason}`;
  if (!attributes.isResourceRequest) {
    const action = `User ${quotedUser} cannot ${verb} path ${JSON.stringify(attributes.path)}`;
    return newStatusError('Forbidden', `forbidden: ${action}${why}`, {});
  }
  const full = subresource === '' ? resource : `${resource}/${subresource}`;
  const scope = namespace === '' ? 'at the cluster scope' : `in the namespace ${JSON.stringify(namespace)}`;
  const action = `User ${quotedUser} cannot ${verb} resource ${JSON.stringify(full)} in API group ${JSON.stringify(group)} ${scope}`;
  const qualified = group === '' ? resource : `${resource}.${group}`;
  const subject = name === '' ? qualified : `${qualified} ${JSON.stringify(name)}`;
  return newStatusError('Forbidden', `${subject} is forbidden: ${action}${why}`, {
    ...(name === '' ? {} : { name }),
    ...(group === '' ? {} : { group }),
    kind: resource,
  });
}
