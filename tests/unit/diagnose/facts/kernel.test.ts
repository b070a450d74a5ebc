import { expect, test } from "bun:test";
import { readKernel } from "../../../../src/diagnose/facts/kernel.ts";
import { FakeRoot } from "../../../support/fake-root.ts";

const RELEASE = { "/proc/sys/kernel/osrelease": "6.12.92-cloud\n" };
const CONFIG = '# comment\nCONFIG_VSOCKETS=m\n# CONFIG_VHOST_VSOCK is not set\nCONFIG_NAME="a=b"\n';
const options = new Map([
  ["CONFIG_VSOCKETS", "m"],
  ["CONFIG_NAME", '"a=b"'],
]);

test("the configuration is that of /proc, else of /boot, else of /lib/modules", () => {
  const gzip = Bun.gzipSync(new TextEncoder().encode("CONFIG_VSOCKETS=y\n"));
  const boot = { "/boot/config-6.12.92-cloud": CONFIG };
  using compressed = new FakeRoot({ ...RELEASE, ...boot, "/proc/config.gz": gzip });
  expect(readKernel(compressed.files)).toEqual({
    release: "6.12.92-cloud",
    version: [6, 12, 92],
    config: new Map([["CONFIG_VSOCKETS", "y"]]),
  });
  using broken = new FakeRoot({ ...RELEASE, ...boot, "/proc/config.gz": "not gzip" });
  expect(readKernel(broken.files).config).toEqual(options);
  using modules = new FakeRoot({ ...RELEASE, "/lib/modules/6.12.92-cloud/config": CONFIG });
  expect(readKernel(modules.files).config).toEqual(options);
});

test("a system that publishes nothing", () => {
  using root = new FakeRoot({});
  expect(readKernel(root.files)).toEqual({ release: "", version: undefined, config: undefined });
});

test.each([
  ["7.1", [7, 1, 0]],
  ["7.1.3", [7, 1, 3]],
  ["6.18.44-fc-v657", [6, 18, 44]],
  ["7.0-rc3+", [7, 0, 0]],
  ["x7.0", undefined],
])("version %s", (release, version) => {
  using root = new FakeRoot({ "/proc/sys/kernel/osrelease": release });
  expect(readKernel(root.files).version).toEqual(version as never);
});
