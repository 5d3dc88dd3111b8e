/** What a run has made outside of its process, and how to remove it. Also when the process is interrupted. */
export class Undo {
  readonly #deeds: (() => void)[] = [];
  readonly #onExit = (): void => this.run();
  readonly #onSignal = (): void => process.exit(1);

  constructor() {
    process.once('exit', this.#onExit);
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, this.#onSignal);
  }

  /** `deed` must be synchronous, and harmless when there is nothing to remove. */
  add(deed: () => void): void {
    this.#deeds.push(deed);
  }

  /** The newest first; what fails does not keep the others. */
  run(): void {
    for (let deed = this.#deeds.pop(); deed !== undefined; deed = this.#deeds.pop())
      try {
        deed();
      } catch (error) {
        process.stderr.write(`not removed: ${String(error)}\n`);
      }
    process.off('exit', this.#onExit);
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.off(signal, this.#onSignal);
  }
}
