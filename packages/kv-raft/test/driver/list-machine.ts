import type { CommandEntry, StateMachine } from '../../src/consensus.ts';

/** The least state machine that shows loss, duplication and reordering: the list of all commands. */
export class ListMachine implements StateMachine<number> {
  items: string[] = [];
  appliedIndex = 0;
  restores = 0;
  readonly leaderships: (number | undefined)[] = [];

  /** Answers a command with the count of items after it. */
  apply(entries: readonly CommandEntry[]): readonly number[] {
    return entries.map(({ index, data }) => {
      if (index <= this.appliedIndex) throw new Error(`entry ${index} applied after ${this.appliedIndex}`);
      this.appliedIndex = index;
      return this.items.push(Buffer.from(data).toString());
    });
  }

  snapshot(): { readonly index: number; readonly chunks: AsyncIterable<Uint8Array> } {
    const pinned = JSON.stringify({ index: this.appliedIndex, items: this.items });
    return { index: this.appliedIndex, chunks: chunksOf(Buffer.from(pinned)) };
  }

  async restore(chunks: AsyncIterable<Uint8Array>): Promise<void> {
    const parts: Uint8Array[] = [];
    for await (const chunk of chunks) parts.push(Buffer.from(chunk));
    const { index, items } = JSON.parse(Buffer.concat(parts).toString()) as { index: number; items: string[] };
    this.restores++;
    this.items = items;
    this.appliedIndex = index;
  }

  leadershipChanged(term: number | undefined): void {
    this.leaderships.push(term);
  }
}

async function* chunksOf(bytes: Buffer): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 1000) yield bytes.subarray(at, at + 1000);
}
