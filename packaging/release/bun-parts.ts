/**
 * What Bun's executable consists of, with licences as SPDX expressions: Bun's own licence page, which
 * bun-types carries (docs/project/license.mdx); a test compares. Parts for Windows alone are left out.
 */

/** A library in Bun's executable. */
export interface BunPart {
  name: string;
  /** An SPDX expression, or words if Bun's page has no more than words. */
  licence: string;
  /** Its name in process.versions, in which Bun reports its revision. */
  versionKey?: string;
}

const part = (name: string, licence: string, versionKey?: string): BunPart => ({
  name,
  licence,
  ...(versionKey === undefined ? {} : { versionKey }),
});

/** The engine: WebKit's files are under one of these two. */
export const JAVASCRIPT_CORE = part(
  "JavaScriptCore (WebKit)",
  "LGPL-2.0-or-later AND BSD-2-Clause",
  "webkit",
);

/** Libraries that are linked statically. */
export const LINKED_LIBRARIES: readonly BunPart[] = [
  part("boringssl", "several licenses", "boringssl"),
  part("brotli", "MIT"),
  part("libarchive", "several licenses", "libarchive"),
  part("lol-html", "BSD-3-Clause", "lolhtml"),
  part("ls-hpack", "MIT AND BSD-2-Clause", "lshpack"),
  part("ls-qpack", "MIT"),
  part("lsquic", "MIT AND BSD-3-Clause"),
  part("mimalloc", "MIT", "mimalloc"),
  part("picohttp", "MIT OR Artistic-1.0-Perl OR GPL-1.0-or-later", "picohttpparser"),
  part("zstd", "BSD-3-Clause OR GPL-2.0-only", "zstd"),
  part("simdutf", "Apache-2.0"),
  part("tinycc", "LGPL-2.1-or-later", "tinycc"),
  part("uSockets", "Apache-2.0", "usockets"),
  part("zlib-ng", "Zlib", "zlib"),
  part("c-ares", "MIT", "ares"),
  part("libicu", "Unicode-3.0", "icu"),
  part("libbase64", "BSD-2-Clause"),
  part("libdeflate", "MIT", "libdeflate"),
  part("libjpeg-turbo", "BSD-3-Clause AND IJG AND Zlib"),
  part("libspng", "BSD-2-Clause AND libpng-2.0"),
  part("libwebp", "BSD-3-Clause"),
  part("highway", "Apache-2.0"),
  part("HdrHistogram_c", "CC0-1.0 OR BSD-2-Clause"),
  part("sqlite", "public domain", "sqlite"),
  part("uWebsockets", "Apache-2.0", "uwebsockets"),
];

/**
 * The C++ library of the glibc builds: they ask for no libstdc++.so.6 (the musl builds do), and GCC's
 * code in them has the runtime exception.
 */
export const GLIBC_BUILDS_ONLY: readonly BunPart[] = [
  part("libstdc++ and libgcc", "GPL-3.0-or-later WITH GCC-exception-3.1"),
];

/** JavaScript that Bun has in itself in the place of Node's modules; all of it is MIT. */
export const POLYFILLS: readonly string[] = [
  "acorn",
  "acorn-walk",
  "assert",
  "browserify-zlib",
  "buffer",
  "constants-browserify",
  "crypto-browserify",
  "domain-browser",
  "events",
  "https-browserify",
  "os-browserify",
  "path-browserify",
  "process",
  "punycode",
  "querystring-es3",
  "stream-browserify",
  "stream-http",
  "string_decoder",
  "timers-browserify",
  "tty-browserify",
  "url",
  "util",
  "vm-browserify",
];
