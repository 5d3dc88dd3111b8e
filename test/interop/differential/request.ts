/** One request of the corpus. It is sent to both servers; what it needs of earlier answers, each gets from its own. */
export interface CorpusRequest {
  /** Unique; rules about differences refer to it. */
  readonly name: string;
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE' | 'OPTIONS' | 'HEAD';
  /** `{{answer.field.field}}` stands for a field of an answer that was kept. */
  readonly path: string;
  /** Strings are sent as they are, after `{{…}}` has been replaced; a function makes the body out of kept answers. */
  readonly body?: unknown;
  /** Of the body; default application/json. */
  readonly type?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Who asks, a token of tokens.csv; default the admin, '' is nobody. */
  readonly token?: string;
  /** The answer is kept by this name. */
  readonly keep?: string;
  /** A watch: it ends after so many events, or with the deletion of an object of this name. */
  readonly events?: number | { readonly deleted: string };
  /** Asked again until this is so, for a while: what one of the servers does a moment later than it answers. */
  readonly until?: (answer: Answer) => boolean;
}

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** JSON where it is JSON; the events of a watch; text. */
  readonly body: unknown;
}

/** Loosely typed: samples say what they hold. */
export interface Json {
  readonly [field: string]: unknown;
}

/** The answers that one server's requests have kept. */
export class Memory {
  readonly #kept = new Map<string, unknown>();

  keep(name: string, body: unknown): void {
    this.#kept.set(name, body);
  }

  /** A copy of a kept answer's body. */
  object(name: string): Record<string, unknown> {
    return structuredClone((this.#kept.get(name) ?? {}) as Record<string, unknown>);
  }

  /** `{{name.field.field}}` replaced by what was kept. */
  fill(text: string): string {
    return text.replaceAll(/\{\{([^}]+)\}\}/gu, (_, path: string) => {
      const [name = '', ...fields] = path.split('.');
      let value: unknown = this.#kept.get(name);
      for (const field of fields) value = (value as Record<string, unknown> | undefined)?.[field];
      return typeof value === 'string' ? value : JSON.stringify(value ?? null);
    });
  }
}

export type BodyMaker = (memory: Memory) => unknown;

/** The text of a request's body. */
export function bodyText(request: CorpusRequest, memory: Memory): string | undefined {
  const { body } = request;
  if (body === undefined) return undefined;
  const made = typeof body === 'function' ? (body as BodyMaker)(memory) : body;
  return memory.fill(typeof made === 'string' ? made : JSON.stringify(made));
}
