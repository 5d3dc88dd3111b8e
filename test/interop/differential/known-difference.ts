import type { Difference } from './compare.ts';

/** A rule about differences that may be: where they are, and why. A rule that explains nothing fails the test. */
export interface KnownDifference {
  readonly reason: string;
  /**
   * `newer`: Kubernetes 1.36 answers as we do, 1.20 did not. `go`: what Go's decoders and printers make of it. `choice`: we
   * answer otherwise on purpose. `lacking`: we should answer as upstream does.
   */
  readonly why: 'newer' | 'go' | 'choice' | 'lacking';
  /** Matches the name of the request. Default: all. */
  readonly request?: RegExp;
  /** Matches the place. */
  readonly at: RegExp;
  /** Match what each says, as JSON. */
  readonly ours?: RegExp;
  readonly upstream?: RegExp;
  /** 1.20 does not always answer alike: the rule may explain nothing. */
  readonly sometimes?: true;
}

/** A difference as the list of those that no rule explains has it. */
export function placeOf({ request, at }: Difference): string {
  return `${request} @ ${at.replaceAll(/\[\d+\]/gu, '[]')}`;
}

export function explains(rule: KnownDifference, difference: Difference): boolean {
  return (
    (rule.request?.test(difference.request) ?? true) &&
    rule.at.test(difference.at) &&
    (rule.ours?.test(JSON.stringify(difference.ours ?? null)) ?? true) &&
    (rule.upstream?.test(JSON.stringify(difference.upstream ?? null)) ?? true)
  );
}
