/** Refusals and checks that resources and subresources share. */
import { newStatusError, type Resource, type UnstructuredObject } from '@naru/api';

/** The 404 of a path that no resource has. */
export function noSuchResource(): Error {
  return newStatusError('NotFound', 'the server could not find the requested resource', {});
}

/** The 405 of a verb that a resource does not know. */
export function verbNotAllowed(): Error {
  return newStatusError('MethodNotAllowed', 'the server does not allow this method on the requested resource', {});
}

/** The request's scope for a resource: a namespace's own path names it as its namespace. */
export function inScope<T extends { readonly namespace: string }>(context: T, resource: Resource): T {
  return resource.namespaced ? context : { ...context, namespace: '' };
}

/** The name in the body must be there and be the path's. @throws StatusError BadRequest. */
export function checkName(object: UnstructuredObject, name: string): UnstructuredObject {
  const given = object.metadata.name ?? '';
  if (given === '')
    throw newStatusError(
      'BadRequest',
      `the name of the object (${name} based on URL) was undeterminable: name must be provided`,
    );
  if (given !== name)
    throw newStatusError(
      'BadRequest',
      `the name of the object (${given}) does not match the name on the URL (${name})`,
    );
  return object;
}
