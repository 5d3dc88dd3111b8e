/**
 * `Object{spec: Object.spec{replicas: 1}}` and `JSONPatch{op: "add", …}`: mutations are written as messages, which are maps
 * to the evaluator. Their type names go, and their field names become strings:
 *
 *     message = TYPE { "." NAME } "{" [ FIELD ":" expression { "," FIELD ":" expression } ] "}"
 */
const messageTypes: ReadonlySet<string> = new Set(['Object', 'JSONPatch']);
const tokens =
  /[rRbB]{0,2}(?:"""[\s\S]*?"""|'''[\s\S]*?'''|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')|\/\/[^\n]*|[A-Za-z_]\w*(?:\s*\.\s*[A-Za-z_]\w*)*\s*\{|[A-Za-z_]\w*|[\s\S]/gu;

/** What surrounds a place in the expression: a message or something else in brackets. */
type Bracket = 'message' | 'other';

export function withoutMessages(expression: string): string {
  const open: Bracket[] = [];
  let result = '';
  /** Whether the next name in a message is that of a field. */
  let expectsField = false;
  for (const [token] of expression.matchAll(tokens)) {
    const isMessage = token.length > 1 && token.endsWith('{') && messageTypes.has(/^\w+/u.exec(token)?.[0] ?? '');
    const isField = expectsField && open.at(-1) === 'message' && /^[A-Za-z_]\w*$/u.test(token);
    if (isMessage) {
      open.push('message');
      expectsField = true;
      result += '{';
    } else if (isField) {
      expectsField = false;
      result += JSON.stringify(token);
    } else {
      if (/[([{]$/u.test(token)) open.push('other');
      else if (token === ')' || token === ']' || token === '}') open.pop();
      else if (token === ',' && open.at(-1) === 'message') expectsField = true;
      result += token;
    }
  }
  return result;
}
