/** Which package a glibc is from: only where its version string says so. */
import { expect, test } from "bun:test";
import { describeGlibc } from "../../../packaging/release/glibc.ts";

test.each([
  [
    "Debian GLIBC 2.36-9+deb12u14",
    "x64",
    { version: "2.36-9+deb12u14", purl: "pkg:deb/debian/libc6@2.36-9%2Bdeb12u14?arch=amd64" },
  ],
  [
    "Ubuntu GLIBC 2.35-0ubuntu3.8",
    "arm64",
    { version: "2.35-0ubuntu3.8", purl: "pkg:deb/ubuntu/libc6@2.35-0ubuntu3.8?arch=arm64" },
  ],
  ["GNU libc", "x64", { version: "GNU libc" }],
  ["unknown", "x64", { version: "unknown" }],
])("%s for %s", (text, architecture, expected) => {
  expect(describeGlibc(text, architecture)).toEqual(expected);
});
