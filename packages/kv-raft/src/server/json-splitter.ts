const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN = 0x7b;
const CLOSE = 0x7d;

/** Cuts a stream of JSON objects, one after the other with or without white space between, into the text of each. */
export class JsonSplitter {
  readonly #bytesMax: number;
  #parts: Buffer[] = [];
  #length = 0;
  #depth = 0;
  #inString = false;
  #escaped = false;

  /** An object of more than `bytesMax` bytes is an error. */
  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** True between two objects. */
  get idle(): boolean {
    return this.#depth === 0;
  }

  /** The objects that end in `chunk`. @throws SyntaxError for anything but objects; RangeError for one that is too large */
  push(chunk: Buffer): string[] {
    const found: string[] = [];
    let start = this.#depth === 0 ? -1 : 0;
    for (let i = 0; i < chunk.length; i++) {
      const byte = chunk[i];
      if (this.#inString) {
        if (this.#escaped) this.#escaped = false;
        else if (byte === BACKSLASH) this.#escaped = true;
        else if (byte === QUOTE) this.#inString = false;
      } else if (byte === OPEN) {
        if (this.#depth++ === 0) start = i;
      } else if (this.#depth === 0) {
        if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09)
          throw new SyntaxError(`invalid character '${String.fromCharCode(byte ?? 0)}' looking for beginning of value`);
      } else if (byte === QUOTE) this.#inString = true;
      else if (byte === CLOSE && --this.#depth === 0) {
        this.#keep(chunk.subarray(start, i + 1));
        found.push(Buffer.concat(this.#parts).toString());
        this.#parts = [];
        this.#length = 0;
        start = -1;
      }
    }
    if (start !== -1) this.#keep(chunk.subarray(start));
    return found;
  }

  #keep(part: Buffer): void {
    this.#length += part.length;
    if (this.#length > this.#bytesMax) throw new RangeError('etcdserver: request is too large');
    this.#parts.push(part);
  }
}
