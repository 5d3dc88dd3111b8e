/**
 * Field selectors (k8s.io/apimachinery/pkg/fields): `metadata.name=x,status.phase!=Running`. In values `\`, `,` and `=`
 * are escaped by a backslash.
 */
import { newBadRequest } from './status.ts';

export interface FieldRequirement {
  readonly field: string;
  readonly operator: '=' | '!=';
  readonly value: string;
}

/** A parsed field selector. Immutable. */
export interface FieldSelector {
  readonly requirements: readonly FieldRequirement[];
  /** Whether it selects everything. */
  readonly empty: boolean;
  /** `valueOf` gives an object's value of a field, '' where it has none. */
  matches(valueOf: (field: string) => string): boolean;
  /** The value that this field must equal, where the selector demands one. */
  requiresExactMatch(field: string): string | undefined;
  toString(): string;
}

class FieldRequirements implements FieldSelector {
  readonly requirements: readonly FieldRequirement[];

  constructor(requirements: readonly FieldRequirement[]) {
    this.requirements = requirements;
  }

  get empty(): boolean {
    return this.requirements.length === 0;
  }

  matches(valueOf: (field: string) => string): boolean {
    for (const { field, operator, value } of this.requirements)
      if ((valueOf(field) === value) !== (operator === '=')) return false;
    return true;
  }

  requiresExactMatch(field: string): string | undefined {
    return this.requirements.find((each) => each.field === field && each.operator === '=')?.value;
  }

  toString(): string {
    return this.requirements
      .map(({ field, operator, value }) => `${field}${operator}${escapeFieldValue(value)}`)
      .join(',');
  }
}

/** Selects every object. */
export const everyField: FieldSelector = new FieldRequirements([]);

/** A selector of all these requirements. */
export function newFieldSelector(requirements: readonly FieldRequirement[]): FieldSelector {
  return requirements.length === 0 ? everyField : new FieldRequirements(requirements);
}

export function escapeFieldValue(value: string): string {
  return value.replaceAll(/[\\,=]/gu, String.raw`\$&`);
}

function unescapeFieldValue(text: string): string {
  if (!/[\\,=]/u.test(text)) return text;
  let value = '';
  for (let i = 0; i < text.length; i++) {
    const char = text.charAt(i);
    if (char === '\\') {
      const next = text.charAt(++i);
      if (next !== '\\' && next !== ',' && next !== '=')
        throw newBadRequest(`invalid field selector: invalid escape sequence: \\${next}`);
      value += next;
    } else if (char === ',' || char === '=') {
      throw newBadRequest(`invalid field selector: unescaped character in value: ${char.charCodeAt(0)}`);
    } else {
      value += char;
    }
  }
  return value;
}

/** Parses a field selector; throws BadRequest with upstream's message. Which fields a kind knows is not checked here. */
export function parseFieldSelector(text: string): FieldSelector {
  const requirements: FieldRequirement[] = [];
  for (const [term] of text.matchAll(/(?:\\.|[^,\\]|\\$)+/gsu)) {
    const match = /^(.*?)(!=|==|=)(.*)$/su.exec(term);
    if (match === null) throw newBadRequest(`invalid selector: '${text}'; can't understand '${term}'`);
    const [, field = '', operator, value = ''] = match;
    requirements.push({ field, operator: operator === '!=' ? '!=' : '=', value: unescapeFieldValue(value) });
  }
  return newFieldSelector(requirements);
}
