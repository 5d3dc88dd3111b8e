/** Syntax of CronJob schedules, as the cron library that upstream uses reads them: five fields, macros, `@every`. */
interface CronField {
  readonly min: number;
  readonly max: number;
  readonly names?: readonly string[];
}

const months = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];
const days = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];
const fields: readonly CronField[] = [
  { min: 0, max: 59 },
  { min: 0, max: 23 },
  { min: 1, max: 31 },
  { min: 1, max: 12, names: months },
  { min: 0, max: 6, names: days },
];
const macros = ['@yearly', '@annually', '@monthly', '@weekly', '@daily', '@midnight', '@hourly'];

/** What is wrong with a schedule, or undefined. */
export function cronScheduleError(schedule: string): string | undefined {
  if (schedule === '') return 'empty spec string';
  if (schedule.startsWith('@')) {
    if (macros.includes(schedule)) return undefined;
    const every = /^@every (.+)$/u.exec(schedule)?.[1];
    if (every === undefined) return `unrecognized descriptor: ${schedule}`;
    return /^(\d+(\.\d+)?(ns|us|µs|ms|s|m|h))+$/u.test(every)
      ? undefined
      : `failed to parse duration ${schedule}: time: invalid duration ${JSON.stringify(every)}`;
  }
  const parts = schedule.split(/\s+/u).filter((part) => part !== '');
  if (parts.length !== fields.length)
    return `expected exactly ${fields.length} fields, found ${parts.length}: [${parts.join(' ')}]`;
  for (const [i, part] of parts.entries()) {
    const field = fields[i];
    if (field === undefined) continue;
    for (const range of part.split(',')) {
      const error = rangeError(range, field);
      if (error !== undefined) return error;
    }
  }
  return undefined;
}

function rangeError(range: string, field: CronField): string | undefined {
  const [span = '', stepText, ...more] = range.split('/');
  if (more.length > 0) return `too many slashes: ${range}`;
  const step = stepText === undefined ? 1 : numberOf(stepText, field);
  if (typeof step === 'string') return step;
  if (step === 0) return `step of range should be a positive number: ${range}`;
  if (span === '*' || span === '?') return undefined;
  const [lowText = '', highText, ...rest] = span.split('-');
  if (rest.length > 0) return `too many hyphens: ${range}`;
  const low = numberOf(lowText, field);
  if (typeof low === 'string') return low;
  const high = highText === undefined ? (stepText === undefined ? low : field.max) : numberOf(highText, field);
  if (typeof high === 'string') return high;
  if (low < field.min) return `beginning of range (${low}) below minimum (${field.min}): ${range}`;
  if (high > field.max) return `end of range (${high}) above maximum (${field.max}): ${range}`;
  if (low > high) return `beginning of range (${low}) beyond end of range (${high}): ${range}`;
  return undefined;
}

function numberOf(text: string, { min, names }: CronField): number | string {
  const index = names?.indexOf(text.toLowerCase()) ?? -1;
  if (index !== -1) return index + min;
  if (/^\d+$/u.test(text)) return Number(text);
  return `failed to parse int from ${text}: strconv.Atoi: parsing ${JSON.stringify(text)}: invalid syntax`;
}
