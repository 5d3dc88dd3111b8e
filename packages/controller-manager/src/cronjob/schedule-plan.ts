import { Cron } from 'croner';

/** A schedule that cannot be read. */
export class ScheduleError extends Error {
  override readonly name = 'ScheduleError';
}

/** When a cron expression is due. Time zones are names of the tz database; without one, UTC. */
export class Schedule {
  readonly #cron: Cron;

  /** @throws ScheduleError */
  constructor(expression: string, timeZone: string | undefined) {
    try {
      this.#cron = new Cron(expression, { paused: true, timezone: timeZone ?? 'Etc/UTC', mode: '5-part' });
      this.#cron.nextRun(new Date(0));
    } catch (error) {
      throw new ScheduleError(error instanceof Error ? error.message : String(error), { cause: error });
    }
  }

  /** The first time after `ms`; undefined when there is none. */
  next(ms: number): number | undefined {
    return this.#cron.nextRun(new Date(ms))?.getTime();
  }
}
