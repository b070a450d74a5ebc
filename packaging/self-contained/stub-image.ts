/**
 * The compiled stub as it is kept in the source: hexadecimal, below a line that names the compiler,
 * and without the table, which is empty before it is packed.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Architecture } from "../../src/elf/elf-head.ts";
import { TABLE_BYTES } from "./stub-table.ts";

/** Files of this directory. */
export const STUB_FILES: Readonly<Record<Architecture, string>> = {
  x64: "stub.x64.hex",
  arm64: "stub.arm64.hex",
};

/** A stub with the name of the compiler that made it. */
export interface StubImage {
  image: Uint8Array;
  compiler: string;
}

/** The text of a file. */
export function encodeStubImage(image: Uint8Array, compiler: string): string {
  const lines =
    Buffer.from(image.subarray(TABLE_BYTES))
      .toString("hex")
      .match(/.{1,64}/g) ?? [];
  return `# ${compiler}\n${lines.join("\n")}\n`;
}

/** The other way round. */
export function decodeStubImage(text: string): StubImage {
  const [first = "", ...lines] = text.split("\n");
  const image = Buffer.concat([new Uint8Array(TABLE_BYTES), Buffer.from(lines.join(""), "hex")]);
  return { compiler: first.replace(/^# /, ""), image };
}

/** The stub of an architecture. */
export function readStub(architecture: Architecture): StubImage {
  return decodeStubImage(readFileSync(join(import.meta.dir, STUB_FILES[architecture]), "utf8"));
}
