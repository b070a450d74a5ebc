/** What a directory holds, to be compared. */
import { createHash } from "node:crypto";
import { lstatSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";

/** A line for everything in a tree: kind, mode, owner, hash or target. No times. */
export function listing(root: string, below = ""): string[] {
  const lines: string[] = [];
  for (const name of readdirSync(join(root, below)).sort()) {
    const path = `${below}/${name}`;
    const place = join(root, path);
    const status = lstatSync(place);
    const facts = `${status.mode.toString(8)} ${status.uid}:${status.gid}`;
    if (status.isDirectory()) lines.push(`${path} ${facts}`, ...listing(root, path));
    else if (status.isSymbolicLink()) lines.push(`${path} ${facts} -> ${readlinkSync(place)}`);
    else lines.push(`${path} ${facts} ${hashOf(place)}`);
  }
  return lines;
}

/** SHA-256 of a file in hexadecimal. */
export function hashOf(path: string): string {
  return createHash("sha256").update(readFileSync(path)).digest("hex");
}
