import { expect, test } from "bun:test";
import { findService } from "../../../src/install/init-system.ts";

const OPENRC = ["/sbin/openrc-run", "/etc/runlevels"];

test.each([
  ["Debian", "/usr/lib/systemd/systemd", ["/usr/lib/systemd/systemd"], "systemd"],
  ["Alpine: busybox starts OpenRC", "/bin/busybox", OPENRC, "openrc"],
  ["Gentoo", "/sbin/openrc-init", OPENRC, "openrc"],
  ["Debian with OpenRC's package beside systemd", "/lib/systemd/systemd", OPENRC, "systemd"],
  ["Buildroot", "/bin/busybox", [], "busybox"],
  ["a static busybox", "/bin/busybox.static", [], "busybox"],
  ["a container image of Debian", undefined, ["/lib/systemd/systemd"], "systemd"],
  ["sysvinit, though systemd is there", "/sbin/init", ["/lib/systemd/systemd"], "none"],
  ["nothing", undefined, [], "none"],
] as const)("%s", (_, init, paths, service) => {
  const found = findService({ init, has: (path) => (paths as readonly string[]).includes(path) });
  expect(found.service).toBe(service);
  expect(found.because).not.toBe("");
});
