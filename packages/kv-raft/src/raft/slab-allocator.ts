/** Large enough that the system's allocator is asked rarely, small enough to lose little when a few bytes keep one alive. */
const SLAB_BYTES = 256 << 10;
/** What is larger is worth a buffer of its own. */
const COPIED_BYTES_MAX = SLAB_BYTES / 8;

/**
 * Copies short-lived bytes, such as parts of network buffers, to slabs of their own, where those that go together lie
 * together. Kept one by one among the short-lived buffers they would leave the system's heap full of holes: several times
 * what they hold.
 */
export class SlabAllocator {
  #slab = new Uint8Array();
  #used = 0;

  /** The same bytes in memory that holds nothing else than what was copied around them; large ones as they are. */
  copy(bytes: Uint8Array): Uint8Array {
    const { length } = bytes;
    if (length === 0 || length > COPIED_BYTES_MAX) return bytes;
    if (this.#used + length > this.#slab.length) {
      // V8 maps the pages of a buffer that could be resized by itself, and gives them back to the system with it. Others come from
      // the C library's heap, which keeps what it once had.
      this.#slab = new Uint8Array(new ArrayBuffer(SLAB_BYTES, { maxByteLength: SLAB_BYTES }));
      this.#used = 0;
    }
    const copy = this.#slab.subarray(this.#used, this.#used + length);
    copy.set(bytes);
    this.#used += length;
    return copy;
  }
}
