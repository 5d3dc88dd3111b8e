/** Takes out of answers what no two servers have alike: uids, versions, times, generated names and addresses. */
import { maskManagedFields } from './managed-fields-mask.ts';
import { newerFields } from './newer-fields.ts';
import type { Answer } from './request.ts';

const DAY_MS = 86_400_000;
const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/u;
const time = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?<fraction>\.\d+)?Z$/u;
const comparedHeaders = [
  'allow',
  'cache-control',
  'content-type',
  'location',
  'retry-after',
  'vary',
  'warning',
  'www-authenticate',
  'x-content-type-options',
];

/** Numbers the resourceVersions of each object in the order in which they are seen: a write that changes nothing shows. */
export class VersionNumbers {
  readonly #ofObject = new Map<string, string[]>();

  numberOf(uid: string, version: string): string {
    const seen = this.#ofObject.get(uid) ?? [];
    this.#ofObject.set(uid, seen);
    if (!seen.includes(version)) seen.push(version);
    return `version ${seen.indexOf(version) + 1}`;
  }
}

/**
 * The message of a Status without the values that it quotes where they are objects or lists: 1.20 prints them as Go does,
 * 1.36 as JSON.
 */
export function maskQuotedValues(message: string): string {
  let masked = '';
  for (let i = 0; i < message.length;) {
    const match = /^(?:Invalid|Unsupported|Duplicate) value: (?:&?(?:\[\]|map\[)?[\w.\]]*[{[(])/u.exec(
      message.slice(i),
    );
    if (match === null) {
      masked += message[i++] ?? '';
      continue;
    }
    masked += `${match[0].split(' ', 1)[0] ?? ''} value: VALUE`;
    i = endOfValue(message, i + match[0].length);
  }
  return masked;
}

/** Where the bracket that has just been opened is closed. */
function endOfValue(text: string, from: number): number {
  let depth = 1;
  let i = from;
  for (let quoted = false; i < text.length && (depth > 0 || /[({[]/u.test(text[i] ?? '')); i++) {
    const each = text[i] ?? '';
    if (each === '"') quoted = !quoted;
    else if (!quoted && /[({[]/u.test(each)) depth++;
    else if (!quoted && /[)}\]]/u.test(each)) depth--;
  }
  return i;
}

function maskText(text: string, near: number): string {
  if (uuid.test(text)) return 'UID';
  const match = time.exec(text);
  if (match !== null && Math.abs(Date.parse(text) - near) < DAY_MS)
    return match.groups?.['fraction'] === undefined ? 'TIME' : 'MICROTIME';
  return text
    .replaceAll(/\b(generated-)[a-z0-9]{5}\b/gu, '$1XXXXX')
    .replaceAll(/\b(kube-api-access-)[a-z0-9]{5}\b/gu, '$1XXXXX')
    .replaceAll(/\b10\.0\.\d+\.\d+\b/gu, 'CLUSTER-IP')
    .replaceAll(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/gu, 'UID')
    .replaceAll(/\beyJ[\w-]+\.[\w-]+\.[\w-]+/gu, 'JWT');
}

/** What managedFields say of fields. */
function ownersOf(fields: readonly string[] = []): readonly string[] {
  return fields.map((field) => `f:${field}`);
}

function nameOf(object: unknown): string {
  return (object as { metadata?: { name?: string } } | null)?.metadata?.name ?? '';
}

export class Masks {
  readonly #versions = new VersionNumbers();
  readonly #now = Date.now();

  mask(answer: Answer): Answer {
    const headers = Object.fromEntries(
      comparedHeaders.flatMap((name) => {
        const value = answer.headers[name];
        return value === undefined ? [] : [[name, maskText(value, this.#now)]];
      }),
    );
    return { status: answer.status, headers, body: this.#value(answer.body, 'object') };
  }

  #value(value: unknown, field = ''): unknown {
    if (typeof value === 'string') {
      if (field === 'message') return maskText(maskQuotedValues(value), this.#now);
      if (field === 'continue') return value === '' ? '' : 'CONTINUE';
      return maskText(value, this.#now);
    }
    if (typeof value === 'number' && /nodePort$/iu.test(field)) return 'NODE-PORT';
    if (Array.isArray(value)) return this.#list(value, field);
    if (typeof value !== 'object' || value === null) return value;
    const masked: Record<string, unknown> = {};
    const newer = newerFields[field] ?? ownersOf(newerFields[field.replace(/^f:/u, '')]);
    const { uid } = value as { uid?: unknown };
    for (const [key, each] of Object.entries(value)) {
      if (newer.includes(key)) continue;
      if (key === 'resourceVersion' && typeof each === 'string' && /^\d+$/u.test(each) && each !== '0')
        masked[key] = typeof uid === 'string' && uid !== '' ? this.#versions.numberOf(uid, each) : 'VERSION';
      else masked[key] = this.#value(key === 'managedFields' ? maskManagedFields(each) : each, key);
    }
    return masked;
  }

  #list(list: readonly unknown[], field: string): unknown {
    // Ages in the cells of tables.
    if (field === 'cells') return list.map((each) => (/^(\d+[smh])+$/u.test(String(each)) ? 'AGE' : this.#value(each)));
    const masked = list.map((each) => this.#value(each));
    // Where a list need not be the newest, 1.20 has it in no order.
    return field === 'items' ? masked.toSorted((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1)) : masked;
  }
}
