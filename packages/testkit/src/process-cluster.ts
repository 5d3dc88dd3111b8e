import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Result {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end. @throws Error with its output when it fails, unless `allowFailure` */
export async function runProgram(
  program: string,
  args: readonly string[],
  options: {
    readonly input?: string;
    readonly env?: NodeJS.ProcessEnv;
    readonly allowFailure?: boolean;
    readonly timeoutMs?: number;
  } = {},
): Promise<Result> {
  const child = spawn(program, args, {
    env: options.env ?? process.env,
    stdio: 'pipe',
    timeout: options.timeoutMs ?? 120_000,
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  child.stdin.on('error', () => undefined);
  child.stdin.end(options.input ?? '');
  const code = await new Promise<number>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (status) => resolve(status ?? 1));
  });
  if (code !== 0 && options.allowFailure !== true)
    throw new Error(`${program} ${args.join(' ')}: exit status ${code}\n${stdout}${stderr}`);
  return { code, stdout, stderr };
}

/**
 * A real cluster of real processes in a temporary folder, started and broken through the naru command, used through
 * kubectl. Disposal stops it and deletes the folder.
 */
export class ProcessCluster implements AsyncDisposable {
  readonly dataDir: string;
  readonly kubeconfig: string;
  readonly portBase: number;
  readonly #root: string;

  private constructor(root: string, dataDir: string, portBase: number) {
    this.#root = root;
    this.dataDir = dataDir;
    this.portBase = portBase;
    this.kubeconfig = join(dataDir, 'admin.kubeconfig');
  }

  /** Starts one. `root` is the repository's; `flags` are those of `naru up`. */
  static async start(options: {
    readonly root: string;
    readonly portBase: number;
    readonly flags?: readonly string[];
  }): Promise<ProcessCluster> {
    const dataDir = await mkdtemp(join(tmpdir(), 'naru-cluster-'));
    const cluster = new ProcessCluster(options.root, dataDir, options.portBase);
    try {
      await cluster.up(options.flags);
    } catch (error) {
      await cluster[Symbol.asyncDispose]();
      throw error;
    }
    return cluster;
  }

  get server(): string {
    return `https://127.0.0.1:${this.portBase + 3}`;
  }

  async up(flags: readonly string[] = []): Promise<string> {
    return await this.naru('up', '--detach', `--port-base=${this.portBase}`, ...flags);
  }

  /** Runs `naru COMMAND …` on this cluster; resolves with its output. */
  async naru(command: string, ...args: readonly string[]): Promise<string> {
    const bin = join(this.#root, 'packages', 'naru', 'src', 'main.ts');
    const { stdout } = await runProgram(process.execPath, [bin, command, ...args, `--data-dir=${this.dataDir}`]);
    return stdout;
  }

  /** Runs kubectl as the cluster's admin; resolves with its output. */
  async kubectl(...args: readonly string[]): Promise<string> {
    return (await this.kubectlResult(args)).stdout;
  }

  /** The same for input on stdin, or calls that may fail. */
  async kubectlResult(
    args: readonly string[],
    options: { readonly input?: string; readonly allowFailure?: boolean } = {},
  ): Promise<Result> {
    return await runProgram('kubectl', [`--kubeconfig=${this.kubeconfig}`, ...args], options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.naru('reset').catch(() => undefined);
    await rm(this.dataDir, { recursive: true, force: true });
  }
}
