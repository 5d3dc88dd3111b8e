/** The query of GET /containerLogs: `PodLogOptions` as upstream's kubelet reads them. */
export interface LogQuery {
  readonly follow: boolean;
  readonly previous: boolean;
  readonly timestamps: boolean;
  readonly tailLines: number | undefined;
  readonly sinceMs: number | undefined;
  readonly limitBytes: number | undefined;
}

function parseBoolean(value: unknown): boolean {
  return value !== undefined && value !== 'false' && value !== '0';
}

/** The parsed query, or what is wrong with it. */
export function parseLogQuery(query: Readonly<Record<string, unknown>>, nowMs: number): LogQuery | string {
  const integer = (key: string): number | undefined | string => {
    const value = query[key];
    if (value === undefined || value === '') return undefined;
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : `${key} must be an integer`;
  };
  const tailLines = query['tailLines'] === 'all' ? undefined : integer('tailLines');
  const limitBytes = integer('limitBytes');
  const sinceSeconds = integer('sinceSeconds');
  for (const each of [tailLines, limitBytes, sinceSeconds]) if (typeof each === 'string') return each;
  if (typeof tailLines === 'number' && tailLines < 0) return 'tailLines: must be greater than or equal to 0';
  if (typeof limitBytes === 'number' && limitBytes < 1) return 'limitBytes: must be greater than 0';
  if (typeof sinceSeconds === 'number' && sinceSeconds < 1) return 'sinceSeconds: must be greater than 0';
  const { sinceTime } = query;
  const sinceTimeMs =
    sinceTime === undefined || sinceTime === ''
      ? undefined
      : typeof sinceTime === 'string'
        ? Date.parse(sinceTime)
        : Number.NaN;
  if (Number.isNaN(sinceTimeMs)) return 'sinceTime must be a time in RFC 3339';
  if (sinceTimeMs !== undefined && sinceSeconds !== undefined)
    return 'at most one of sinceTime or sinceSeconds may be specified';
  return {
    follow: parseBoolean(query['follow']),
    previous: parseBoolean(query['previous']),
    timestamps: parseBoolean(query['timestamps']),
    tailLines: tailLines as number | undefined,
    limitBytes: limitBytes as number | undefined,
    sinceMs: sinceTimeMs ?? (sinceSeconds === undefined ? undefined : nowMs - Number(sinceSeconds) * 1000),
  };
}
