/** `/healthz`, `/livez`, `/readyz`, each check by its name: upstream's texts. */
export type HealthCheck = () => void | Promise<void>;

export interface HealthAnswer {
  readonly code: number;
  readonly text: string;
}

/** Answers `/readyz` (check `''`) or `/readyz/CHECK`; undefined: there is no such check. */
export async function answerHealth(
  endpoint: string,
  check: string,
  checks: ReadonlyMap<string, HealthCheck>,
  query: URLSearchParams,
): Promise<HealthAnswer | undefined> {
  if (check !== '') {
    const one = checks.get(check);
    if (one === undefined) return undefined;
    const ok = await holds(one);
    return ok ? { code: 200, text: 'ok' } : { code: 500, text: `internal server error: ${check} failed\n` };
  }
  const excluded = new Set(query.getAll('exclude'));
  const lines: string[] = [];
  let healthy = true;
  for (const [name, each] of checks) {
    if (excluded.delete(name)) lines.push(`[+]${name} excluded: ok`);
    else if (await holds(each)) lines.push(`[+]${name} ok`);
    else {
      healthy = false;
      lines.push(`[-]${name} failed: reason withheld`);
    }
  }
  if (excluded.size > 0)
    lines.push(
      `warn: some health checks cannot be excluded: no matches for ${[...excluded].map((each) => JSON.stringify(each)).join(', ')}`,
    );
  if (!healthy) return { code: 500, text: `${lines.join('\n')}\n${endpoint} check failed\n` };
  return { code: 200, text: query.has('verbose') ? `${lines.join('\n')}\n${endpoint} check passed\n` : 'ok' };
}

async function holds(check: HealthCheck): Promise<boolean> {
  try {
    await check();
    return true;
  } catch {
    return false;
  }
}
