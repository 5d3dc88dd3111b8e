/**
 * What is wrong with the rules of a CustomResourceDefinition: that they are no expressions, or that they may cost too much
 * (k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation).
 */
import { additionalOf, fieldForbidden, fieldInvalid, type FieldError, type JsonSchema } from '@naru/api';
import { CelError, type CelProgram } from './cel-program.ts';
import { DEFINITION_ESTIMATE_MAX, RULE_ESTIMATE_MAX } from './cost-model.ts';
import { rulesOf, tryRule, withMetadata } from './schema-rules.ts';
import { REQUEST_BYTES_MAX, schemaType, type SchemaType } from './sized-type.ts';

interface Expensive {
  readonly path: string;
  readonly cost: number;
}

/** How many of the most expensive expressions are named where all together cost too much. */
const NAMED_MAX = 4;

export interface RuleErrorOptions {
  /** Rules were accepted before: what they may cost is not asked again. */
  readonly isUnchanged?: boolean;
}

/** Paths are those of the definition. */
export function schemaRuleErrors(
  schema: JsonSchema,
  path: string,
  { isUnchanged = false }: RuleErrorOptions = {},
): FieldError[] {
  const review = new RuleReview(isUnchanged);
  review.visit(schema, { path, cardinality: 1, isRoot: true });
  return [...review.errors, ...review.totalErrors(path)];
}

interface Place {
  readonly path: string;
  /** How often there can be such a value in an object; undefined: nothing says so. */
  readonly cardinality: number | undefined;
  readonly isRoot?: boolean;
}

class RuleReview {
  readonly errors: FieldError[] = [];
  readonly #ignoresCosts: boolean;
  readonly #costs: Expensive[] = [];

  constructor(ignoresCosts: boolean) {
    this.#ignoresCosts = ignoresCosts;
  }

  visit(schema: JsonSchema, { path, cardinality, isRoot = false }: Place): void {
    const isResource = isRoot || schema['x-kubernetes-embedded-resource'] === true;
    const rules = rulesOf(schema);
    const type = rules.length === 0 ? undefined : schemaType(isResource ? withMetadata(schema) : schema);
    for (const [i, source] of rules.entries()) {
      const at = `${path}.x-kubernetes-validations[${i}]`;
      const { program, message } = tryRule(source);
      const times = cardinality ?? Math.floor(REQUEST_BYTES_MAX / ((type?.minSerializedSize ?? 0) + 1));
      this.#check({ path: `${at}.rule`, name: 'rule', text: source.rule, program, type, times });
      if (message !== undefined)
        this.#check({
          path: `${at}.messageExpression`,
          name: 'messageExpression',
          text: source.messageExpression,
          program: message,
          type,
          // One message is enough.
          times: 1,
        });
    }
    const additional = additionalOf(schema);
    const inProperties = cardinality;
    const inside = (max: number | undefined): number | undefined =>
      cardinality === undefined || max === undefined ? undefined : cardinality * Math.max(max, 0);
    for (const [name, each] of Object.entries(schema.properties ?? {}))
      this.visit(each, { path: `${path}.properties[${name}]`, cardinality: inProperties });
    if (additional !== undefined)
      this.visit(additional, { path: `${path}.additionalProperties`, cardinality: inside(schema.maxProperties) });
    if (schema.items !== undefined)
      this.visit(schema.items, { path: `${path}.items`, cardinality: inside(schema.maxItems) });
  }

  #check({ path, name, text, program, type, times }: Checked): void {
    if (program instanceof CelError) {
      this.errors.push(fieldInvalid(path, text ?? '', `compilation failed: ${program.message}`));
      return;
    }
    if (this.#ignoresCosts || type === undefined) return;
    const variables = new Map([
      ['self', type],
      ['oldSelf', type],
    ]);
    const cost = program.estimate(variables) * times;
    this.#costs.push({ path, cost });
    if (cost > RULE_ESTIMATE_MAX)
      this.errors.push(fieldForbidden(path, excess(`estimated ${name} cost`, cost / RULE_ESTIMATE_MAX)));
  }

  totalErrors(path: string): FieldError[] {
    const total = this.#costs.reduce((sum, { cost }) => sum + cost, 0);
    if (total <= DEFINITION_ESTIMATE_MAX) return [];
    const expensive = this.#costs.toSorted((a, b) => b.cost - a.cost).slice(0, NAMED_MAX);
    return [
      ...expensive
        // What is no hundredth of the limit has no part in it.
        .filter(({ cost }) => cost >= DEFINITION_ESTIMATE_MAX / 100)
        .map((each) =>
          fieldForbidden(
            each.path,
            'contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema',
          ),
        ),
      fieldForbidden(
        path,
        excess(
          'x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema',
          total / DEFINITION_ESTIMATE_MAX,
        ),
      ),
    ];
  }
}

interface Checked {
  readonly path: string;
  readonly name: 'rule' | 'messageExpression';
  readonly text: string | undefined;
  readonly program: CelProgram | CelError;
  readonly type: SchemaType | undefined;
  readonly times: number;
}

function excess(what: string, factor: number): string {
  const shown = factor > 100 ? 'more than 100x' : `${factor.toFixed(factor < 1.5 ? 6 : 1)}x`;
  return `${what} exceeds budget by factor of ${shown} (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)`;
}
