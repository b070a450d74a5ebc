/**
 * Each file of `src/` has a unit test at the same path below `tests/unit/`, or a line here that names the
 * test that drives it: what needs a real process, socket, guest or terminal is tested with one.
 */
import { expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { sourceFiles } from "../support/imports.ts";

const ROOT = join(import.meta.dir, "../..");

/** Patterns of files without a unit test of their own, and the test that drives them. */
const DRIVEN: readonly (readonly [pattern: string, test: string])[] = [
  ["agent/ports.ts", "tests/integration/agent-options.test.ts"],
  ["agent/channel/*.ts", "tests/integration/channels.test.ts"],
  ["agent/client/agent-scrape.ts", "tests/integration/metrics.test.ts"],
  ["agent/client/go-*.ts", "tests/integration/go-agent.test.ts"],
  ["agent/client/ready-probe.ts", "tests/integration/commands.test.ts"],
  ["agent/client/handshake.ts", "tests/integration/agent-token.test.ts"],
  ["agent/client/*.ts", "tests/integration/exec.test.ts"],
  ["agent/server/collect-metrics.ts", "tests/integration/metrics.test.ts"],
  ["agent/server/go-*.ts", "tests/conformance/cases/frames.ts"],
  ["agent/server/*.ts", "tests/integration/conformance.test.ts"],
  ["agent/transfer/*.ts", "tests/integration/trees.test.ts"],
  ["bench/*.ts", "tests/integration/bench.test.ts"],
  ["bridge/*.ts", "tests/integration/bridge.test.ts"],
  ["commands/bytes/bridge.ts", "tests/integration/bridge.test.ts"],
  ["commands/bytes/forward*.ts", "tests/integration/forward.test.ts"],
  ["commands/bytes/*.ts", "tests/integration/connect-listen.test.ts"],
  ["commands/diagnose/monitor*.ts", "tests/integration/monitor.test.ts"],
  ["commands/diagnose/metrics*.ts", "tests/integration/metrics.test.ts"],
  ["commands/diagnose/top*.ts", "tests/integration/top.test.ts"],
  ["commands/diagnose/bench-*.ts", "tests/integration/bench.test.ts"],
  ["commands/diagnose/sockets.ts", "tests/vm/sockets.ts"],
  ["commands/diagnose/*.ts", "tests/integration/commands.test.ts"],
  ["commands/files/*.ts", "tests/integration/cp.test.ts"],
  ["commands/guest/guest-exec.ts", "tests/integration/guest-exec.test.ts"],
  ["commands/guest/init*.ts", "tests/vm/initramfs.ts"],
  ["commands/guest/agent*.ts", "tests/integration/agent-options.test.ts"],
  ["commands/guest/{mount,umount}*.ts", "tests/integration/mount.test.ts"],
  ["commands/guest/shell-server.ts", "tests/integration/shell-server.test.ts"],
  ["commands/host/capture.ts", "tests/integration/hybrid-observe.test.ts"],
  ["commands/host/export*.ts", "tests/integration/export.test.ts"],
  ["commands/host/share.ts", "tests/integration/mount.test.ts"],
  ["commands/host/status.ts", "tests/integration/hybrid-observe.test.ts"],
  ["commands/host/*.ts", "tests/integration/hybrid-proxy.test.ts"],
  ["commands/image/initramfs*.ts", "tests/integration/initramfs.test.ts"],
  ["commands/image/completion.ts", "tests/unit/ui/completion.test.ts"],
  ["commands/image/man.ts", "tests/unit/ui/man-page.test.ts"],
  ["commands/image/install*.ts", "tests/integration/install.test.ts"],
  ["commands/peers/guest-exec-*.ts", "tests/integration/guest-exec-host.test.ts"],
  ["commands/peers/shell-*.ts", "tests/integration/shell-client.test.ts"],
  ["commands/run/exec-many.ts", "tests/integration/many.test.ts"],
  ["commands/run/exec*.ts", "tests/integration/exec.test.ts"],
  ["commands/run/shell.ts", "tests/integration/terminal-modes.test.ts"],
  ["commands/run/shutdown.ts", "tests/vm/agent-init.ts"],
  ["commands/run/*.ts", "tests/integration/detached.test.ts"],
  ["commands/shared/json-*.ts", "tests/integration/json.test.ts"],
  ["commands/shared/operands.ts", "tests/integration/several-operands.test.ts"],
  ["commands/shared/remote-terminal.ts", "tests/integration/terminal.test.ts"],
  ["commands/shared/error-hints.ts", "tests/integration/wrong-service.test.ts"],
  ["commands/shared/service.ts", "tests/integration/agent-options.test.ts"],
  ["commands/shared/transfer-report.ts", "tests/integration/cp.test.ts"],
  ["commands/shared/*.ts", "tests/integration/commands.test.ts"],
  ["commands/*.ts", "tests/integration/commands.test.ts"],
  ["demo/*.ts", "tests/vm/demo.ts"],
  ["device/config/*.ts", "tests/unit/device/config/device-config.test.ts"],
  ["device/confine/*.ts", "tests/integration/hybrid-sandbox.test.ts"],
  ["device/host/*.ts", "tests/integration/hybrid-sockets.test.ts"],
  ["device/serve/*.ts", "tests/integration/hybrid-proxy.test.ts"],
  ["device/vsock/*.ts", "tests/unit/device/device.test.ts"],
  ["device/*.ts", "tests/unit/device/device.test.ts"],
  ["diagnose/{facts/local-cid,target/target-facts}.ts", "tests/integration/doctor.test.ts"],
  ["elf/*.ts", "tests/unit/elf/elf-file.test.ts"],
  ["ffi/{pty,termios}.ts", "tests/integration/terminal-modes.test.ts"],
  [
    "ffi/{sandbox,landlock,credentials,namespaced-child,resource-limit}.ts",
    "tests/integration/sandbox.test.ts",
  ],
  ["ffi/{kernel-module,power,wait,mount}.ts", "tests/vm/agent-init.ts"],
  ["ffi/vsock.ts", "tests/vm/vsock.ts"],
  ["{ffi/network-namespace,net/vsock-sockets}.ts", "tests/vm/sockets.ts"],
  [
    "ffi/{scm-rights,receive,record,iovec,memory-copy,eventfd,epoll}.ts",
    "tests/unit/device/device.test.ts",
  ],
  ["{ffi/netlink,net/netlink-request}.ts", "tests/unit/net/netlink-request.test.ts"],
  ["ffi/notify.ts", "tests/unit/process/service/notify.test.ts"],
  ["ffi/{aio,uring}-poll.ts", "tests/unit/io/wake-up-event.test.ts"],
  ["ffi/packet-ring.ts", "tests/vm/monitor.ts"],
  ["ffi/inotify.ts", "tests/unit/vfs/watch/tree-watch.test.ts"],
  ["ffi/{c-path,file-calls,file-facts}.ts", "tests/unit/vfs/server/directory-session.test.ts"],
  ["ffi/*.ts", "tests/integration/trees.test.ts"],
  ["file-stat.ts", "tests/unit/protocols/vfs/file-stat.test.ts"],
  ["files/*.ts", "tests/integration/trees.test.ts"],
  ["guest-exec/*.ts", "tests/integration/guest-exec.test.ts"],
  ["initramfs/*.ts", "tests/integration/initramfs.test.ts"],
  ["install/*.ts", "tests/integration/install.test.ts"],
  ["io/stdio.ts", "tests/integration/output.test.ts"],
  ["io/acceptor.ts", "tests/integration/hybrid-limits.test.ts"],
  ["io/idle-timeout.ts", "tests/integration/agent-options.test.ts"],
  ["io/*.ts", "tests/unit/runtime/contracts.test.ts"],
  ["library/http-*.ts", "tests/integration/library-http.test.ts"],
  ["library/{conn-streams,constants,local-cid}.ts", "tests/integration/conn.test.ts"],
  ["library/go-*.ts", "tests/integration/library-go-agent.test.ts"],
  ["library/*.ts", "tests/integration/library.test.ts"],
  ["main.ts", "tests/integration/commands.test.ts"],
  ["monitor/kernel-source.ts", "tests/vm/monitor.ts"],
  ["monitor/*.ts", "tests/integration/monitor.test.ts"],
  ["net/metrics-server.ts", "tests/integration/metrics.test.ts"],
  ["net/dial-with-retry.ts", "tests/integration/commands.test.ts"],
  ["net/{silent-close,wrong-service}.ts", "tests/integration/wrong-service.test.ts"],
  ["net/socket-access.ts", "tests/integration/hybrid-sockets.test.ts"],
  ["net/endpoint.ts", "tests/integration/forward.test.ts"],
  ["net/refused-pool.ts", "tests/unit/net/refusal-log.test.ts"],
  ["net/*.ts", "tests/unit/runtime/contracts.test.ts"],
  ["process/init/*.ts", "tests/vm/initramfs.ts"],
  ["process/sandbox/*.ts", "tests/integration/sandbox.test.ts"],
  ["process/service/*.ts", "tests/integration/agent-options.test.ts"],
  ["process/group-guard*.ts", "tests/integration/killed-agent.test.ts"],
  ["process/{raw-terminal,terminal-child}.ts", "tests/integration/terminal.test.ts"],
  ["process/raw-arguments.ts", "tests/integration/exec-start.test.ts"],
  ["process/*.ts", "tests/integration/exec-start.test.ts"],
  ["protocols/agent/*.ts", "tests/unit/protocols/agent/messages.test.ts"],
  ["protocols/guest-exec/command.ts", "tests/unit/protocols/guest-exec/frame.test.ts"],
  ["protocols/vfs/cbor-values.ts", "tests/unit/protocols/vfs/cbor.test.ts"],
  ["protocols/vfs/operations.ts", "tests/unit/protocols/vfs/requests.test.ts"],
  ["protocols/fuse/*.ts", "tests/unit/protocols/fuse/request.test.ts"],
  ["protocols/vhost-user/*.ts", "tests/unit/protocols/vhost-user/backend.test.ts"],
  ["protocols/virtio-vsock/packet.ts", "tests/unit/protocols/virtio-vsock/connection.test.ts"],
  ["protocols/vsock-shell/*.ts", "tests/unit/protocols/vsock-shell/message.test.ts"],
  ["smoke/*.ts", "tests/integration/commands.test.ts"],
  ["text/endpoint.ts", "tests/unit/net/forward-spec.test.ts"],
  ["text/{table,units}.ts", "tests/integration/detached.test.ts"],
  ["ui/full-screen.ts", "tests/integration/top.test.ts"],
  ["ui/*.ts", "tests/integration/output.test.ts"],
  ["version.ts", "tests/integration/commands.test.ts"],
  ["vfs/server/go-session.ts", "tests/integration/export-go.test.ts"],
  ["vfs/server/{export-root,opening}.ts", "tests/integration/export-escapes.test.ts"],
  [
    "vfs/server/{connection,answer-buffer,file-server,server-counters}.ts",
    "tests/integration/export.test.ts",
  ],
  ["vfs/server/*.ts", "tests/unit/vfs/server/directory-session.test.ts"],
  ["vfs/watch/*.ts", "tests/unit/vfs/watch/tree-watch.test.ts"],
  ["vfs/client/*.ts", "tests/unit/vfs/client/open-export.test.ts"],
  ["vfs/mount/*.ts", "tests/unit/vfs/mount/fuse-session.test.ts"],
  ["vm/*.ts", "tests/vm/uml.ts"],
  ["vsock-shell/*.ts", "tests/integration/shell-conformance.test.ts"],
];

const sources = sourceFiles(join(ROOT, "src"));
const ownTest = (path: string) => `tests/unit/${path.replace(/\.ts$/, ".test.ts")}`;
const untested = sources.filter((path) => !existsSync(join(ROOT, ownTest(path))));

test("each file of src has a unit test of its name, or a line that names the test that drives it", () => {
  const globs = DRIVEN.map(([pattern]) => new Bun.Glob(pattern));
  expect(untested.filter((path) => !globs.some((glob) => glob.match(path)))).toEqual([]);
});

test("each line is needed, and names a test that exists", () => {
  const claimed = new Set<string>();
  for (const [pattern, driver] of DRIVEN) {
    expect([driver, existsSync(join(ROOT, driver))]).toEqual([driver, true]);
    const glob = new Bun.Glob(pattern);
    const own = untested.filter((path) => glob.match(path) && !claimed.has(path));
    expect([pattern, own.length > 0]).toEqual([pattern, true]);
    for (const path of own) claimed.add(path);
  }
});

/** Unit tests of things that are not in src, or of several files together. */
const BESIDE: ReadonlySet<string> = new Set([
  "docs",
  "exports",
  "layers",
  "start-up",
  "mirror",
  "performance",
  "troubleshooting",
  "wording",
  "runtime/contracts",
  "commands/empty-values",
  "commands/report-hints",
  "commands/short-options",
  "commands/value-checks",
  "device/delivery",
  "protocols/vsock-shell/server-refusal",
]);

test("each unit test mirrors a file, or is in the list of others", () => {
  const mirrored = new Set(sources.map((path) => path.replace(/\.ts$/, "")));
  const stray = sourceFiles(join(ROOT, "tests/unit"))
    .map((path) => path.replace(/\.test\.ts$/, ""))
    .filter((name) => !/^(?:packaging|tests)\//.test(name))
    .filter((name) => !mirrored.has(name) && !BESIDE.has(name));
  expect(stray).toEqual([]);
});
