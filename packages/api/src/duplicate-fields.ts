/** Finds keys that stand twice in one JSON object: JSON.parse keeps the last and tells nothing. */

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

interface Frame {
  /** Keys seen in an object; undefined in a list. */
  readonly keys: Set<string> | undefined;
  /** Key or index of the part that is being read. */
  at: string | number;
  expectsKey: boolean;
}

function pathOf(frames: readonly Frame[]): string {
  let path = '';
  for (const { at } of frames) path += typeof at === 'number' ? `[${at}]` : `${path === '' ? '' : '.'}${at}`;
  return path;
}

/** Index of the quote that ends the string whose opening quote stands at `start`. */
function endOfString(json: string, start: number): number {
  let end = json.indexOf('"', start + 1);
  for (;;) {
    let backslashes = 0;
    while (json.charCodeAt(end - 1 - backslashes) === BACKSLASH) backslashes++;
    if (backslashes % 2 === 0 || end === -1) return end;
    end = json.indexOf('"', end + 1);
  }
}

/** Paths such as `spec.replicas` of the fields that occur more than once, in document order. `json` must be valid JSON. */
export function duplicateFields(json: string): string[] {
  const found = new Set<string>();
  const frames: Frame[] = [];
  for (let i = 0; i < json.length; i++) {
    const code = json.charCodeAt(i);
    const frame = frames.at(-1);
    if (code === QUOTE) {
      const end = endOfString(json, i);
      if (end === -1) return [...found];
      if (frame?.keys !== undefined && frame.expectsKey) {
        const raw = json.slice(i, end + 1);
        const key = raw.includes('\\') ? (JSON.parse(raw) as string) : raw.slice(1, -1);
        frame.at = key;
        frame.expectsKey = false;
        if (frame.keys.has(key)) found.add(pathOf(frames));
        else frame.keys.add(key);
      }
      i = end;
    } else if (code === 0x7b) {
      frames.push({ keys: new Set(), at: '', expectsKey: true });
    } else if (code === 0x5b) {
      frames.push({ keys: undefined, at: 0, expectsKey: false });
    } else if (code === 0x7d || code === 0x5d) {
      frames.pop();
    } else if (code === 0x2c && frame !== undefined) {
      if (typeof frame.at === 'number') frame.at++;
      else frame.expectsKey = true;
    }
  }
  return [...found];
}
