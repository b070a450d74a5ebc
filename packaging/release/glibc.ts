/** Identifies a glibc by its version string. */

/** Debian's name of an architecture. */
const DEBIAN: Readonly<Record<string, string>> = { x64: "amd64", arm64: "arm64" };

/** A glibc. */
export interface GlibcVersion {
  version: string;
  /** The package, if a distribution's name is in the version string. */
  purl?: string;
}

/** @param text the library's version string, for example `Debian GLIBC 2.36-9+deb12u14`. */
export function describeGlibc(text: string, architecture: string): GlibcVersion {
  const [, vendor, version] = /^(Debian|Ubuntu) GLIBC (\S+)$/.exec(text) ?? [];
  if (vendor === undefined || version === undefined) return { version: text };
  const distribution = vendor.toLowerCase();
  const encoded = encodeURIComponent(version);
  return {
    version,
    purl: `pkg:deb/${distribution}/libc6@${encoded}?arch=${DEBIAN[architecture] ?? architecture}`,
  };
}
