/** Which operations are linearized. They are so roughly in the order of their numbers: `key` is short and exact. */
export class BitSet {
  readonly #words: Uint32Array;

  constructor(length: number) {
    this.#words = new Uint32Array((length + 31) >>> 5);
  }

  flip(index: number): void {
    this.#words[index >>> 5] = (this.#words[index >>> 5] ?? 0) ^ (1 << (index & 31));
  }

  /** The number of full words at the front, then each word that is not empty with its place. */
  key(): string {
    const words = this.#words;
    let first = 0;
    while (first < words.length && words[first] === 0xffffffff) first++;
    let text = `${first}`;
    for (let i = first; i < words.length; i++) if (words[i] !== 0) text += `;${i}.${(words[i] ?? 0).toString(36)}`;
    return text;
  }
}
