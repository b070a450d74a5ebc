/** tests/fixtures/go-vsock as a file of a guest. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { VsockboxError } from "../../src/errors.ts";
import type { GuestFile } from "../../src/vm/guest-image.ts";
import type { ScratchDirectory } from "./scratch-directory.ts";

/** Debian's directory of Go packages, as golang-github-mdlayher-vsock-dev has them. */
const PACKAGES = "/usr/share/gocode";

/** Finds what {@link goVsock} needs. */
export function findGo(): void {
  const missing = [
    Bun.which("go") === null ? "golang-go" : undefined,
    existsSync(join(PACKAGES, "src/github.com/mdlayher/vsock"))
      ? undefined
      : "golang-github-mdlayher-vsock-dev",
  ].filter((name) => name !== undefined);
  if (missing.length === 0) return;
  throw new VsockboxError({
    code: "UNAVAILABLE",
    operation: "find",
    address: missing.join(" and "),
    message: "it is not installed",
    hint: `\`apt-get install ${missing.join(" ")}\``,
  });
}

/** Builds /bin/go-vsock of a guest, from Debian's packages alone. */
export function goVsock(scratch: ScratchDirectory): GuestFile {
  const fixture = join(import.meta.dir, "../fixtures/go-vsock/main.go");
  const source = scratch.file("go-vsock");
  const { success, stderr } = Bun.spawnSync(["go", "build", "-o", source, fixture], {
    env: {
      ...process.env,
      GO111MODULE: "off",
      GOFLAGS: "",
      GOPATH: PACKAGES,
      GOCACHE: scratch.file("go-cache"),
      CGO_ENABLED: "0",
    },
  });
  if (!success) throw new Error(`go build: ${stderr.toString()}`);
  return { path: "bin/go-vsock", source, mode: 0o755 };
}
