/**
 * Objects and lists in each other that a body may have. Upstream's decoder takes 10,000; what walks through objects here
 * calls itself, and has room for more than this many calls.
 */
export const JSON_DEPTH_MAX = 1000;

const [QUOTE, BACKSLASH, OPEN_LIST, CLOSE_LIST, OPEN_OBJECT, CLOSE_OBJECT] = Buffer.from('"\\[]{}');

/** Whether bytes that begin as a JSON object or list do are nested deeper than is allowed. Other bytes are not looked at. */
export function isTooDeep(body: Buffer): boolean {
  if (body.length <= JSON_DEPTH_MAX || (body[0] !== OPEN_OBJECT && body[0] !== OPEN_LIST)) return false;
  let depth = 0;
  for (let i = 0; i < body.length; i++) {
    const byte = body[i];
    if (byte === QUOTE) i = endOfString(body, i);
    else if (byte === OPEN_OBJECT || byte === OPEN_LIST) {
      if (++depth > JSON_DEPTH_MAX) return true;
    } else if (byte === CLOSE_OBJECT || byte === CLOSE_LIST) depth--;
  }
  return false;
}

/** The place of the quote that ends the string which begins at `start`; the end of the bytes if none does. */
function endOfString(body: Buffer, start: number): number {
  for (let at = body.indexOf(0x22, start + 1); at !== -1; at = body.indexOf(0x22, at + 1)) {
    let backslashes = 0;
    while (body[at - 1 - backslashes] === BACKSLASH) backslashes++;
    if (backslashes % 2 === 0) return at;
  }
  return body.length;
}
