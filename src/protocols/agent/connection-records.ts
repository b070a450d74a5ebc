/** The open connections of an agent on a channel: a record for each. A reader trusts nothing of them. */
import { printable } from "../../text/printable.ts";
import { badField, type JsonObject, integerField, readString, readStrings } from "./json-fields.ts";

/** Requests that a record names; a connection may have more. */
export const MAX_NAMED_REQUESTS = 8;

/** Longest text of a request, in UTF-16 units. */
export const MAX_REQUEST_LENGTH = 200;

/** One connection, as the agent describes it. */
export interface ConnectionRecord {
  /** Counts the connections of the agent, from 1. */
  id: number;
  /** The peer's address, as the agent's kernel reports it. */
  peer: string;
  /** Since it was accepted, in milliseconds. */
  ageMs: number;
  receivedBytes: number;
  sentBytes: number;
  /** Number of requests that are being served. */
  requestCount: number;
  /** The first of them, such as `exec ls -l`. */
  requests: readonly string[];
}

/** Returns a connection as a record. */
export function encodeConnectionRecord(connection: ConnectionRecord): JsonObject {
  return {
    id: connection.id,
    peer: connection.peer,
    age_ms: connection.ageMs,
    received_bytes: connection.receivedBytes,
    sent_bytes: connection.sentBytes,
    request_count: connection.requestCount,
    requests: connection.requests,
  };
}

/**
 * Reads a record; its texts are safe to print.
 *
 * @throws {VsockboxError} BAD_DATA for a field of another type, or too many requests.
 */
export function decodeConnectionRecord(record: JsonObject): ConnectionRecord {
  const what = "connection";
  const count = (name: string) => integerField(what, record, name, Number.MAX_SAFE_INTEGER) ?? 0;
  const text = (value: string) => printable(value, { maxCharacters: MAX_REQUEST_LENGTH });
  const requests = readStrings(what, record, "requests");
  if (requests.length > MAX_NAMED_REQUESTS) {
    throw badField(what, `it names more than ${MAX_NAMED_REQUESTS} requests`);
  }
  return {
    id: count("id"),
    peer: text(readString(what, record, "peer") ?? "?"),
    ageMs: count("age_ms"),
    receivedBytes: count("received_bytes"),
    sentBytes: count("sent_bytes"),
    requestCount: count("request_count"),
    requests: requests.map(text),
  };
}
