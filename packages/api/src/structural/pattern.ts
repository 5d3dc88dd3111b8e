import { RE2JS } from 're2js';

const compiled = new Map<string, RE2JS>();
/** Patterns come with definitions and policies, so there are few; whoever makes more compiles them anew. */
const COMPILED_MAX = 1000;

/**
 * A pattern of a user's in Go's syntax. Matching takes time linear in the text, however the pattern is made. Compiled patterns
 * are kept.
 * @throws Error where it is no pattern.
 */
export function compilePattern(pattern: string): RE2JS {
  const known = compiled.get(pattern);
  if (known !== undefined) return known;
  const fresh = RE2JS.compile(pattern);
  if (compiled.size >= COMPILED_MAX) compiled.clear();
  compiled.set(pattern, fresh);
  return fresh;
}

export function isPattern(pattern: string): boolean {
  try {
    compilePattern(pattern);
    return true;
  } catch {
    return false;
  }
}
