/** Reads the fields of JSON payloads strictly; errors name the field. */
import { VsockboxError } from "../../errors.ts";
import { LongString, parseJson } from "../../json/bounded-json.ts";
import { decodeBase64, decodeBase64Bytes } from "./base64.ts";

/** A JSON object of unknown fields. */
export type JsonObject = Record<string, unknown>;

/** The error for a payload that is not what its type promises. */
export function badField(what: string, message: string): VsockboxError {
  return new VsockboxError({ code: "BAD_DATA", operation: `read ${what}`, message });
}

/**
 * A payload as a JSON object.
 *
 * @throws {VsockboxError} BAD_DATA.
 */
export function parseObject(what: string, payload: Uint8Array): JsonObject {
  const value = parseJson(what, payload, { cutsLongStrings: true });
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw badField(what, "the payload is not a JSON object");
  }
  return value as JsonObject;
}

/** A field, with null as good as missing: Go writes either. */
export function field(object: JsonObject, name: string): unknown {
  return Object.hasOwn(object, name) ? (object[name] ?? undefined) : undefined;
}

/**
 * A string, number or boolean as text, for people; `otherwise` for anything else. An object of a peer
 * may have a `toString` of its own, which String() would trip over.
 */
export function textField(object: unknown, name: string, otherwise = "?"): string {
  return valueText(fieldOf(object, name)) ?? otherwise;
}

/** A number, for people; `otherwise` for anything else. */
export function numberField(object: unknown, name: string, otherwise = 0): number {
  const value = fieldOf(object, name);
  return typeof value === "number" ? value : otherwise;
}

/** A list of strings, numbers and booleans as text; undefined for anything else. */
export function textListField(object: unknown, name: string): string[] | undefined {
  const value = fieldOf(object, name);
  return Array.isArray(value) ? value.map((item) => valueText(item) ?? "?") : undefined;
}

function fieldOf(object: unknown, name: string): unknown {
  return typeof object === "object" && object !== null
    ? field(object as JsonObject, name)
    : undefined;
}

function valueText(value: unknown): string | undefined {
  if (typeof value === "string") return value;
  return typeof value === "number" || typeof value === "boolean" ? String(value) : undefined;
}

/** A string without NUL; undefined if it is empty or missing. */
export function readString(what: string, object: JsonObject, name: string): string | undefined {
  const raw = field(object, name);
  const value = raw instanceof LongString ? raw.decode() : raw;
  if (value === undefined || value === "") {
    if (raw instanceof LongString) throw badField(what, `${name} is not a string of JSON`);
    return undefined;
  }
  if (typeof value !== "string") throw badField(what, `${name} is not a string`);
  if (value.includes("\0")) throw badField(what, `${name} has a NUL byte`);
  return value;
}

/** A list of strings without NUL; empty if it is missing. */
export function readStrings(what: string, object: JsonObject, name: string): string[] {
  const value = field(object, name) ?? [];
  const isText = (item: unknown): item is string =>
    typeof item === "string" && !item.includes("\0");
  if (!Array.isArray(value) || !value.every(isText)) {
    throw badField(what, `${name} is not a list of strings without NUL bytes`);
  }
  return value;
}

/** A map of environment settings; empty if it is missing. */
export function readEnvironment(what: string, object: JsonObject): Record<string, string> {
  const value = field(object, "env") ?? {};
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw badField(what, "env is not an object");
  }
  const env: Record<string, string> = Object.create(null) as Record<string, string>;
  for (const [name, setting] of Object.entries(value)) {
    if (typeof setting !== "string")
      throw badField(what, `env ${JSON.stringify(name)} is not a string`);
    if (name === "" || /[=\0]/.test(name) || setting.includes("\0")) {
      throw badField(
        what,
        `env ${JSON.stringify(name)} has a name or value that an environment cannot hold`,
      );
    }
    env[name] = setting;
  }
  return env;
}

/** Bytes in base64; none if the field is missing. */
export function readBytes(what: string, object: JsonObject, name: string): Uint8Array {
  const value = field(object, name) ?? "";
  const bytes =
    value instanceof LongString
      ? decodeBase64Bytes(value.bytes)
      : typeof value === "string"
        ? decodeBase64(value)
        : undefined;
  if (bytes === undefined) throw badField(what, `${name} is not base64`);
  return bytes;
}

/** A whole number in a range; undefined if it is missing. */
export function integerField(
  what: string,
  object: JsonObject,
  name: string,
  max: number,
): number | undefined {
  const value = field(object, name);
  if (value === undefined) return undefined;
  if (typeof value !== "number" || !Number.isInteger(value) || value < 0 || value > max) {
    throw badField(what, `${name} is not a whole number from 0 to ${max}`);
  }
  return value;
}
