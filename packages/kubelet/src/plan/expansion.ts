/** `$(NAME)` references in env values, commands and arguments (k8s.io/kubernetes/third_party/forked/golang/expansion). */

/**
 * Replaces each `$(NAME)` that `lookup` knows; one it does not know stays as it is. `$$` is a dollar sign, so that
 * `$$(NAME)` stays `$(NAME)`.
 */
export function expand(text: string, lookup: (name: string) => string | undefined): string {
  return text.replaceAll(/\$(\$|\(([^)]*)\))/gu, (whole, operator: string, name: string | undefined) => {
    if (operator === '$') return '$';
    return lookup(name ?? '') ?? whole;
  });
}
