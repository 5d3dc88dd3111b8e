/** What Go says of times and base64 that it cannot parse. */

interface Element {
  /** As it stands in the layout. */
  readonly layout: string;
  readonly pattern: RegExp;
  readonly range?: { readonly name: string; readonly min: number; readonly max: number };
}

const two = /^\d{2}/u;
const literal = (text: string): Element => ({ layout: text, pattern: new RegExp(`^${text}`, 'u') });

const date: readonly Element[] = [
  { layout: '2006', pattern: /^\d{4}/u },
  literal('-'),
  { layout: '01', pattern: two, range: { name: 'month', min: 1, max: 12 } },
  literal('-'),
  { layout: '02', pattern: two, range: { name: 'day', min: 1, max: 31 } },
  { layout: 'T', pattern: /^T/u },
  { layout: '15', pattern: two, range: { name: 'hour', min: 0, max: 23 } },
  literal(':'),
  { layout: '04', pattern: two, range: { name: 'minute', min: 0, max: 59 } },
  literal(':'),
];
const zone: Element = { layout: 'Z07:00', pattern: /^(?:Z|[+-]\d{2}:\d{2})/u };
const second = { name: 'second', min: 0, max: 59 } as const;
const layouts: Readonly<Record<'Time' | 'MicroTime', readonly Element[]>> = {
  // Go takes a fraction after seconds even where the layout has none.
  Time: [...date, { layout: '05', pattern: /^\d{2}(?:[.,]\d+)?/u, range: second }, zone],
  MicroTime: [
    ...date,
    { layout: '05', pattern: two, range: second },
    { layout: '.000000', pattern: /^[.,]\d{6}/u },
    zone,
  ],
};
const valid = /^\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{6})?Z$/u;

/** time.Parse's error for metav1.Time (RFC 3339) or metav1.MicroTime (exactly six digits of a second). */
export function timeError(text: string, type: 'Time' | 'MicroTime'): string | undefined {
  const plain = valid.exec(text);
  if (plain !== null && (type === 'Time' || plain[1] !== undefined)) return undefined;
  const elements = layouts[type];
  let rest = text;
  let outOfRange: string | undefined;
  const numbers: number[] = [];
  for (const { layout, pattern, range } of elements) {
    const match = pattern.exec(rest)?.[0];
    if (match === undefined) {
      const whole = elements.map((each) => each.layout).join('');
      return `parsing time ${JSON.stringify(text)} as "${whole}": cannot parse ${JSON.stringify(rest)} as "${layout}"`;
    }
    const value = Number.parseInt(match, 10);
    if (/\d/u.test(layout)) numbers.push(value);
    if (range !== undefined && (value < range.min || value > range.max)) outOfRange ??= range.name;
    rest = rest.slice(match.length);
    if (outOfRange !== undefined) return `parsing time ${JSON.stringify(text)}: ${outOfRange} out of range`;
  }
  if (rest !== '') return `parsing time ${JSON.stringify(text)}: extra text: ${JSON.stringify(rest)}`;
  const [year = 0, month = 0, day = 0] = numbers;
  const lastDay = new Date(Date.UTC(year, month, 0)).getUTCDate();
  return day > lastDay ? `parsing time ${JSON.stringify(text)}: day out of range` : undefined;
}

const base64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/u;

/** encoding/base64's error for standard base64 with padding: where the first thing wrong stands. */
export function base64Error(text: string): string | undefined {
  if (base64.test(text)) return undefined;
  return `illegal base64 data at input byte ${corruptByte(text)}`;
}

function corruptByte(text: string): number {
  const foreign = text.search(/[^A-Za-z0-9+/]/u);
  if (foreign === -1) return text.length - (text.length % 4);
  const inQuantum = foreign % 4;
  if (text[foreign] !== '=' || inQuantum < 2) return foreign;
  if (inQuantum === 3) return foreign + 1;
  if (foreign + 1 === text.length) return text.length;
  return text[foreign + 1] === '=' ? foreign + 2 : foreign;
}
