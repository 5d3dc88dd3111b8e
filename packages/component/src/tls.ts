import { readFile } from 'node:fs/promises';

/** Paths of PEM files, as flags name them. */
export interface TlsFiles {
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
}

/** PEM texts for node:tls, undici and fastify. */
export interface TlsMaterial {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

/** Reads what is named. @throws Error with the path when a file cannot be read. */
export async function readTlsFiles(files: TlsFiles): Promise<TlsMaterial> {
  const [ca, cert, key] = await Promise.all(
    [files.ca, files.cert, files.key].map(async (path) =>
      path === undefined || path === '' ? undefined : await readFile(path, 'utf8'),
    ),
  );
  return {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
  };
}
