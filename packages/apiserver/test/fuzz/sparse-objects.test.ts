// Objects of every built-in kind that lack all but one field, at any depth, alone and laid over a valid object.
import {
  builtInResources,
  cloneJson,
  isJsonObject,
  schemaOf,
  type FieldType,
  type UnstructuredObject,
} from '@naru/api';
import t from 'tap';
import { registrationFor } from '../../src/registry/registrations.ts';
import { hasMinimalObject, minimalObject } from './minimal-objects.ts';

/** Objects in objects: enough for the volumes of a pod of a job of a cron job. */
const DEPTH_MAX = 10;

const context = { now: '2026-01-01T00:00:00Z', user: { name: 'alice', groups: ['devs'] } };

/** Go's zero and a likely value of each type; of objects, those with one field. A model is not looked into within itself. */
function* sparseValues(type: FieldType, within: readonly string[] = []): Generator {
  switch (type.type) {
    case 'string':
      yield* ['', 'a'];
      return;
    case 'boolean':
      yield true;
      return;
    case 'number':
    case 'integer':
      yield* [0, 1];
      return;
    case 'bytes':
      yield '';
      return;
    case 'any':
      yield* [{}, { a: 1 }];
      return;
    case 'IntOrString':
      yield* [0, 'a'];
      return;
    case 'Quantity':
      yield* ['0', '1'];
      return;
    case 'Time':
    case 'MicroTime':
      yield '2026-01-01T00:00:00Z';
      return;
    case 'array':
      yield [];
      for (const value of sparseValues(type.items, within)) yield [value];
      return;
    case 'map':
      yield {};
      for (const value of sparseValues(type.items, within)) yield { a: value };
      return;
    default: {
      yield {};
      if (within.includes(type.ref) || within.length === DEPTH_MAX) return;
      for (const [name, field] of Object.entries(schemaOf(type.ref)?.fields ?? {}))
        for (const value of sparseValues(field, [...within, type.ref])) yield { [name]: value };
    }
  }
}

/** Objects field by field, lists element by element. */
function layOver(base: unknown, over: unknown): unknown {
  if (Array.isArray(base) && Array.isArray(over)) return over.map((each, i) => layOver(base[i], each));
  if (!isJsonObject(base) || !isJsonObject(over)) return cloneJson(over);
  const laid = Object.entries(over).map(([name, value]) => [name, layOver(base[name], value)]);
  return { ...cloneJson(base), ...Object.fromEntries(laid) };
}

void t.test('an object that lacks all but one field is refused or stored, never an error of ours', async (t) => {
  for (const resource of builtInResources) {
    if (!hasMinimalObject(resource)) continue;
    const { strategy } = registrationFor(resource);
    const base = minimalObject(resource, 1, 'default');
    const { apiVersion, kind, metadata } = base;
    const failures = new Map<string, string>();
    for (const fields of sparseValues({ type: 'ref', ref: resource.model })) {
      for (const under of [base, { apiVersion, kind, metadata }]) {
        try {
          const object = layOver(under, fields) as UnstructuredObject;
          const old = cloneJson(base) as UnstructuredObject;
          strategy.applyDefaults?.(object);
          strategy.prepareForCreate?.(object, context);
          strategy.validate?.(object);
          strategy.prepareForUpdate?.(object, old, context);
          strategy.validateUpdate?.(object, old);
          strategy.warnings?.(object);
        } catch (error) {
          failures.set((error as Error).stack?.split('\n').slice(0, 3).join('\n') ?? '', JSON.stringify(fields));
        }
      }
    }
    t.strictSame([...failures], [], `${resource.resource}.${resource.group}`);
  }
});
