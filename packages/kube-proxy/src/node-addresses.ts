import { BlockList, isIP } from 'node:net';
import { networkInterfaces } from 'node:os';
import { UsageError } from '@naru/component';

/** Which of the node's addresses serve NodePorts. */
export type NodePortAddresses =
  { readonly kind: 'primary' } | { readonly kind: 'cidrs'; readonly cidrs: readonly string[] };

/** `--nodeport-addresses`: `primary`, or CIDRs. @throws UsageError */
export function parseNodePortAddresses(values: readonly string[]): NodePortAddresses {
  if (values.length === 0 || (values.length === 1 && values[0] === 'primary')) return { kind: 'primary' };
  for (const cidr of values) addCidr(new BlockList(), cidr);
  return { kind: 'cidrs', cidrs: values };
}

function addCidr(list: BlockList, cidr: string): void {
  const [address = '', length = ''] = cidr.split('/');
  const version = isIP(address);
  const prefix = Number(length);
  if (version === 0 || !/^\d+$/u.test(length) || prefix > (version === 4 ? 32 : 128))
    throw new UsageError(
      `invalid argument ${JSON.stringify(cidr)} for "--nodeport-addresses" flag: must be a CIDR or "primary"`,
    );
  list.addSubnet(address, prefix, version === 4 ? 'ipv4' : 'ipv6');
}

/** The addresses to serve NodePorts on: the node's own, or all of this machine's that are in the CIDRs. */
export function selectNodePortAddresses(wanted: NodePortAddresses, nodeIPs: readonly string[]): readonly string[] {
  if (wanted.kind === 'primary') return nodeIPs;
  const list = new BlockList();
  for (const cidr of wanted.cidrs) addCidr(list, cidr);
  const local = Object.values(networkInterfaces()).flatMap((each) => (each ?? []).map(({ address }) => address));
  return [...new Set([...nodeIPs, ...local])].filter((address) =>
    list.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4'),
  );
}
