/** `Impersonate-User` and its like: a request in another's name, for those who may do that. */
import type { IncomingHttpHeaders } from 'node:http';
import { newBadRequest } from '@naru/api';
import { unescapeExtraKey } from '../authentication/extra-key.ts';
import type { UserInfo } from '../authentication/authenticator.ts';
import { decide, type AuthorizationAttributes, type Authorizer } from '../authorization/authorizer.ts';
import { newForbiddenRequest } from '../authorization/forbidden.ts';

const extraPrefix = 'impersonate-extra-';
const serviceAccountPrefix = 'system:serviceaccount:';

/**
 * Who the request is to be taken for; undefined: for the one who sent it.
 * @throws StatusError BadRequest or Forbidden.
 */
export function impersonatedUser(
  headers: IncomingHttpHeaders,
  user: UserInfo,
  authorizer: Authorizer,
): Promise<UserInfo> | undefined {
  const name = single(headers['impersonate-user']);
  // node joins what is sent several times; a group's name has no comma.
  const groups = single(headers['impersonate-group'])
    .split(',')
    .map((each) => each.trim())
    .filter((each) => each !== '');
  const uid = single(headers['impersonate-uid']);
  const extra = extraOf(headers);
  if (name === '') {
    if (groups.length > 0 || uid !== '' || Object.keys(extra).length > 0)
      throw newBadRequest(`requested ${JSON.stringify([...groups, uid])} without impersonating a user`);
    return undefined;
  }
  return impersonate({ name, groups, uid, extra }, user, authorizer);
}

async function impersonate(
  wanted: {
    readonly name: string;
    readonly groups: readonly string[];
    readonly uid: string;
    readonly extra: Readonly<Record<string, string[]>>;
  },
  user: UserInfo,
  authorizer: Authorizer,
): Promise<UserInfo> {
  const { name, groups, uid, extra } = wanted;
  const require = async (
    resource: string,
    value: string,
    group = '',
    namespace = '',
    subresource = '',
  ): Promise<void> => {
    const attributes: AuthorizationAttributes = {
      user,
      verb: 'impersonate',
      isResourceRequest: true,
      path: '',
      group,
      version: group === '' ? '' : 'v1',
      resource,
      subresource,
      namespace,
      name: value,
    };
    const { decision, reason } = await decide(authorizer, attributes);
    if (decision !== 'allow') throw newForbiddenRequest(attributes, reason);
  };
  const account = name.startsWith(serviceAccountPrefix) ? name.slice(serviceAccountPrefix.length).split(':') : [];
  const [namespace = '', accountName = ''] = account;
  if (account.length === 2) await require('serviceaccounts', accountName, '', namespace);
  else await require('users', name);
  for (const each of groups) await require('groups', each);
  if (uid !== '') await require('uids', uid, 'authentication.k8s.io');
  for (const [key, values] of Object.entries(extra))
    for (const value of values) await require('userextras', value, 'authentication.k8s.io', '', key);
  const all = new Set(groups);
  if (account.length === 2 && groups.length === 0) {
    all.add('system:serviceaccounts');
    all.add(`system:serviceaccounts:${namespace}`);
  }
  if (name === 'system:anonymous') all.add('system:unauthenticated');
  else all.add('system:authenticated');
  return {
    name,
    groups: [...all],
    ...(uid === '' ? {} : { uid }),
    ...(Object.keys(extra).length === 0 ? {} : { extra }),
  };
}

function single(value: string | string[] | undefined): string {
  return Array.isArray(value) ? value.join(',') : (value ?? '');
}

function extraOf(headers: IncomingHttpHeaders): Record<string, string[]> {
  const extra: Record<string, string[]> = {};
  for (const [name, value] of Object.entries(headers))
    if (name.startsWith(extraPrefix) && value !== undefined)
      extra[unescapeExtraKey(name.slice(extraPrefix.length))] = single(value)
        .split(',')
        .map((each) => each.trim());
  return extra;
}
