/** Records of `logs` with `timestamps`: when the output that follows was written. */
import { badField, integerField, type JsonObject } from "./json-fields.ts";

/** The latest time of a Date, in milliseconds since 1970 (ECMA-262, "Time Values and Time Range"). */
const MAX_TIME_MS = 8.64e15;

/** Returns the record of a time, in milliseconds since 1970 by the agent's clock. */
export function encodeOutputTime(timeMs: number): JsonObject {
  return { timeMs };
}

/**
 * Returns the time of a record, in milliseconds since 1970 by the agent's clock.
 *
 * @throws {VsockboxError} BAD_DATA.
 */
export function decodeOutputTime(record: JsonObject): number {
  const what = "output time";
  const timeMs = integerField(what, record, "timeMs", MAX_TIME_MS);
  if (timeMs === undefined) throw badField(what, "timeMs is missing");
  return timeMs;
}
