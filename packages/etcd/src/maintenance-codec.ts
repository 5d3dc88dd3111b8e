/** Maintenance messages in protobuf's JSON mapping that only a server reads or writes. */
import { enumOf, field, integerOf, memberIdOf, objectOf } from './json-fields.ts';
import type { AlarmAction, AlarmRequest, AlarmResponse, AlarmType } from './messages.ts';

const alarmTypes: readonly [AlarmType, ...AlarmType[]] = ['NONE', 'NOSPACE', 'CORRUPT'];
const alarmActions: readonly [AlarmAction, ...AlarmAction[]] = ['GET', 'ACTIVATE', 'DEACTIVATE'];

export function decodeAlarmRequest(value: unknown): AlarmRequest {
  const source = objectOf(value, 'etcdserverpb.AlarmRequest');
  return {
    action: enumOf(source.action, alarmActions, 'etcdserverpb.AlarmRequest_AlarmAction'),
    memberId: memberIdOf(field(source, 'memberID', 'memberId')),
    alarm: enumOf(source.alarm, alarmTypes, 'etcdserverpb.AlarmType'),
  };
}

export function encodeAlarmResponse(response: AlarmResponse): string {
  const alarms = response.alarms.map(({ memberId, alarm }) => {
    const members = [
      ...(memberId === 0n ? [] : [`"memberID":"${memberId}"`]),
      ...(alarm === 'NONE' ? [] : [`"alarm":"${alarm}"`]),
    ];
    return `{${members.join(',')}}`;
  });
  return alarms.length === 0 ? '{}' : `{"alarms":[${alarms.join(',')}]}`;
}

export function decodeMoveLeaderRequest(value: unknown): { readonly targetId: bigint } {
  const source = objectOf(value, 'etcdserverpb.MoveLeaderRequest');
  return { targetId: memberIdOf(field(source, 'targetID', 'targetId')) };
}

export function decodeHashRequest(value: unknown): { readonly revision: number } {
  return { revision: integerOf(objectOf(value, 'etcdserverpb.HashKVRequest').revision) };
}
