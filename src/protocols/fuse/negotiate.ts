/** The kernel's INIT, and the features that both sides then use. */
import {
  FUSE_MAJOR,
  FUSE_MAX_MINOR,
  FUSE_MIN_MINOR,
  InitFlag,
  InitUpperFlag,
} from "./constants.ts";
import type { FuseSettings } from "./reply.ts";

/** What the kernel offers. */
export interface FuseOffer {
  major: number;
  minor: number;
  maxReadAhead: number;
  flags: number;
  upperFlags: number;
}

/** What this end wants. */
export interface FuseWishes {
  /** The largest read or write that is served, in bytes. */
  maxTransfer: number;
  /** Whether the kernel may hold written data for a while. */
  usesWriteback: boolean;
  /** Whether the kernel may keep the targets of symbolic links. */
  cachesLinks: boolean;
  /** Whether listing a directory reads the attributes of its files too. */
  readsAttributes: boolean;
  /** Whether files have direct I/O, and programs may map them nevertheless. */
  mapsDirectIo: boolean;
}

/** Bytes of a page, and the largest number of pages of one request: fs/fuse/fuse_i.h. */
const PAGE_BYTES = 4096;
const MAX_PAGES = 256;
/** The kernel's default, FUSE_DEFAULT_MAX_PAGES_PER_REQ. */
const DEFAULT_PAGES = 32;

/** Requests without a waiting process: read-ahead and written-back pages. */
const MAX_BACKGROUND = 64;
const CONGESTION_THRESHOLD = 48;

/** Features that are always wanted. */
const WANTED =
  InitFlag.AsyncRead |
  InitFlag.AtomicTruncate |
  InitFlag.BigWrites |
  InitFlag.AutoInvalidateData |
  InitFlag.AsyncDirectIo |
  InitFlag.ParallelDirectoryOperations |
  InitFlag.AbortError |
  InitFlag.MaxPages;

/**
 * Returns the settings of the session: the wanted features that the kernel has.
 *
 * @returns undefined if the kernel's version is not served; a newer major version asks again.
 */
export function negotiate(offer: FuseOffer, wishes: FuseWishes): FuseSettings | undefined {
  if (offer.major < FUSE_MAJOR) return undefined;
  if (offer.major === FUSE_MAJOR && offer.minor < FUSE_MIN_MINOR) return undefined;
  const wanted =
    WANTED |
    (wishes.usesWriteback ? InitFlag.WritebackCache : 0) |
    (wishes.cachesLinks ? InitFlag.CacheSymlinks : 0) |
    (wishes.readsAttributes ? InitFlag.ReadDirectoryPlus | InitFlag.ReadDirectoryPlusAuto : 0);
  const hasUpperFlags = (offer.flags & InitFlag.UpperFlags) !== 0;
  const wantedUpper = hasUpperFlags && wishes.mapsDirectIo ? InitUpperFlag.MapsDirectIo : 0;
  const upperFlags = offer.upperFlags & wantedUpper;
  const flags = offer.flags & (wanted | (upperFlags === 0 ? 0 : InitFlag.UpperFlags));
  const hasMaxPages = (flags & InitFlag.MaxPages) !== 0;
  const pages = Math.min(MAX_PAGES, Math.max(1, Math.floor(wishes.maxTransfer / PAGE_BYTES)));
  const maxPages = hasMaxPages ? pages : Math.min(pages, DEFAULT_PAGES);
  return {
    minor: Math.min(FUSE_MAX_MINOR, offer.minor),
    maxReadAhead: Math.min(offer.maxReadAhead, maxPages * PAGE_BYTES),
    ...{ flags, upperFlags },
    maxBackground: MAX_BACKGROUND,
    congestionThreshold: CONGESTION_THRESHOLD,
    maxWrite: maxPages * PAGE_BYTES,
    maxPages,
  };
}
