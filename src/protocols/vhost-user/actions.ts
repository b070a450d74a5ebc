/** Actions that the back end's protocol state requests from the I/O side. */
import type { RegionDescription, RingAddresses } from "./wire.ts";

/** A region with the descriptor to map it from. */
export interface OfferedRegion extends RegionDescription {
  fd: number;
}

/** The layout and descriptors of a ring that starts. */
export interface RingSetup {
  /** Size of the ring; a power of two. */
  entries: number;
  addresses: RingAddresses;
  /** The next index in the available ring. */
  base: number;
  kick: number;
  /** Undefined if the VMM does not want calls. */
  call: number | undefined;
  err: number | undefined;
}

/**
 * What the I/O side is to do, in order. Descriptors in `map-table` and `add-region` are the I/O
 * side's from then on, to be closed once they are mapped; all others are kept
 * until a `close` action.
 */
export type VhostAction =
  /** Bytes for the VMM; always the last action. */
  | { kind: "reply"; bytes: Uint8Array }
  /** These regions in place of all others. */
  | { kind: "map-table"; regions: OfferedRegion[] }
  | { kind: "add-region"; region: OfferedRegion }
  | { kind: "remove-region"; region: RegionDescription }
  | { kind: "start"; ring: number; setup: RingSetup }
  /** From now on neither the ring's memory nor its descriptors may be touched. */
  | { kind: "stop"; ring: number }
  /** A ring that runs is not processed any more, or processed again. */
  | { kind: "enable"; ring: number; enabled: boolean }
  /** Another descriptor for a ring that runs. */
  | { kind: "kick"; ring: number; fd: number }
  | { kind: "call"; ring: number; fd: number | undefined }
  | { kind: "err"; ring: number; fd: number | undefined }
  /** The offered features that the driver has accepted. */
  | { kind: "features"; features: bigint }
  /** The device is in its initial state; all rings have stopped. */
  | { kind: "reset" }
  | { kind: "close"; fd: number };

/** The descriptors that an action hands over: to be closed if it fails. */
export function descriptorsOf(action: VhostAction): number[] {
  if (action.kind === "map-table") return action.regions.map(({ fd }) => fd);
  if (action.kind === "add-region") return [action.region.fd];
  return action.kind === "close" ? [action.fd] : [];
}
