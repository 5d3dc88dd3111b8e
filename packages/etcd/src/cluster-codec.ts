/** Requests that change the members, and their responses, in protobuf's JSON mapping. */
import { booleanOf, field, memberIdOf, objectOf, stringsOf } from './json-fields.ts';
import type { Member, MemberListResponse, ResponseHeader } from './messages.ts';
import { encodeHeader, encodeMember, encodeMemberListResponse } from './response-codec.ts';

export interface MemberAddRequest {
  readonly peerUrls: readonly string[];
  readonly isLearner: boolean;
}

export interface MemberUpdateRequest {
  readonly id: bigint;
  readonly peerUrls: readonly string[];
}

/** What a change of the members answers; `member` is the one that was added. */
export interface MemberChangeResponse extends MemberListResponse {
  readonly header: ResponseHeader;
  readonly member?: Member | undefined;
}

export function decodeMemberAddRequest(value: unknown): MemberAddRequest {
  const source = objectOf(value, 'etcdserverpb.MemberAddRequest');
  return {
    peerUrls: stringsOf(field(source, 'peerURLs', 'peerUrls')),
    isLearner: booleanOf(field(source, 'isLearner', 'is_learner')),
  };
}

export function decodeMemberUpdateRequest(value: unknown): MemberUpdateRequest {
  const source = objectOf(value, 'etcdserverpb.MemberUpdateRequest');
  return { id: memberIdOf(source.ID), peerUrls: stringsOf(field(source, 'peerURLs', 'peerUrls')) };
}

/** Requests that name a member: remove, promote. */
export function decodeMemberRequest(value: unknown): { readonly id: bigint } {
  return { id: memberIdOf(objectOf(value, 'etcdserverpb.MemberRemoveRequest').ID) };
}

export function decodeMemberListRequest(value: unknown): { readonly linearizable: boolean } {
  return { linearizable: booleanOf(objectOf(value, 'etcdserverpb.MemberListRequest').linearizable) };
}

export function encodeMemberChangeResponse(response: MemberChangeResponse): string {
  const { header, member, members } = response;
  if (member === undefined) return encodeMemberListResponse(response);
  const list = members.map(encodeMember).join();
  return `{"header":${encodeHeader(header)},"member":${encodeMember(member)},"members":[${list}]}`;
}
