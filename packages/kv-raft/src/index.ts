export {
  ConsensusError,
  type Consensus,
  type ConsensusErrorCode,
  type ConsensusStatus,
  type MemberInfo,
} from './consensus.ts';
export { Server, type ListenAddress, type ServerOptions } from './server.ts';
export { flags } from './flags.ts';
export type { AutoCompaction } from './server/auto-compactor.ts';
export { KvStateMachine, type CommandResult } from './server/state-machine.ts';
