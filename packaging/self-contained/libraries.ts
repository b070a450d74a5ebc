/** The loader and the libraries that are packed: those of glibc, from the build host. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { VsockboxError } from "../../src/errors.ts";
import type { Architecture } from "../../src/elf/elf-head.ts";
import type { NamedFile } from "./pack.ts";

/** Library directories of Debian, Fedora and similar, and of Debian's packages for the other architecture. */
const DIRECTORIES: Readonly<Record<Architecture, readonly string[]>> = {
  x64: [
    "/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/lib64",
    "/usr/lib64",
    "/usr/x86_64-linux-gnu/lib",
  ],
  arm64: [
    "/lib/aarch64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/lib64",
    "/usr/lib64",
    "/usr/aarch64-linux-gnu/lib",
  ],
};

/** Names of the loaders: the ABI fixes them. */
const LOADERS: Readonly<Record<Architecture, string>> = {
  x64: "ld-linux-x86-64.so.2",
  arm64: "ld-linux-aarch64.so.1",
};

/** Libraries that Bun needs besides the loader; packing fails if it needs others. */
const LIBRARIES = ["libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0"];

/** Debian's name of an architecture. */
const DEBIAN: Readonly<Record<Architecture, string>> = { x64: "amd64", arm64: "arm64" };

/** What the compiled program needs of an architecture. */
export interface Runtime {
  loader: NamedFile;
  libraries: NamedFile[];
  /** As the C library reports it, for example `Debian GLIBC 2.36-9+deb12u14`. */
  glibc: string;
}

/**
 * Finds the loader and the libraries.
 *
 * @param directory the directory to search, in place of the usual ones.
 * @throws {VsockboxError} UNAVAILABLE if they are not installed.
 */
export function findRuntime(architecture: Architecture, directory?: string): Runtime {
  const loader = LOADERS[architecture];
  const places = directory === undefined ? DIRECTORIES[architecture] : [directory];
  const home = places.find((place) =>
    [loader, ...LIBRARIES].every((name) => existsSync(join(place, name))),
  );
  if (home === undefined) {
    throw new VsockboxError({
      code: "UNAVAILABLE",
      operation: "find libraries",
      address: architecture,
      message: `no directory of ${places.join(", ")} has ${[loader, ...LIBRARIES].join(", ")}`,
      hint:
        `install libc6-${DEBIAN[architecture]}-cross, or unpack Debian's libc6 for ${DEBIAN[architecture]} ` +
        `and name its directory with --libraries-${architecture}`,
    });
  }
  const read = (name: string): NamedFile => ({ name, bytes: readFileSync(join(home, name)) });
  const libraries = LIBRARIES.map(read);
  return { loader: read(loader), libraries, glibc: glibcVersion(libraries) };
}

function glibcVersion(libraries: readonly NamedFile[]): string {
  const bytes =
    libraries.find(({ name }) => name.startsWith("libc.so"))?.bytes ?? new Uint8Array(0);
  const text = Buffer.from(bytes).toString("latin1");
  return /GNU C Library \(([^)]+)\) \w+ release version ([\d.]+)/.exec(text)?.[1] ?? "unknown";
}
