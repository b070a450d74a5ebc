/** Copying between mapped memories by address, with no view made for either: memcpy(3). */
import { libc } from "./libc.ts";
import type { Pointer } from "bun:ffi";

/** Copies `length` bytes between two ranges that the caller owns and that do not overlap. */
export function copyMemory(target: number, source: number, length: number): void {
  libc().memcpy(target as Pointer, source as Pointer, length);
}
