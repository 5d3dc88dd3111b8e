/** Joins frames into what is written at once. Watchers of the same things have the same frames: they share the bytes. */
export class FrameJoiner {
  #frames: readonly Buffer[] = [];
  #joined: Buffer = Buffer.alloc(0);

  /** `size` is that of all frames. The bytes may be another watcher's, too: they are never written to. */
  join(frames: readonly Buffer[], size: number): Buffer {
    const last = this.#frames;
    if (frames.length !== last.length || frames.some((frame, i) => frame !== last[i])) {
      this.#joined = Buffer.concat(frames, size);
      this.#frames = frames;
    }
    return this.#joined;
  }
}
