/** Counters of a device, for status and metrics; they only grow. */
export class DeviceStatistics {
  /** Connections that either side has opened. */
  opened = 0;
  /** Connections that the guest has opened; part of `opened`. */
  openedByGuest = 0;
  /** REQUESTs of the guest that were answered with an RST. */
  refused = 0;
  /** REQUESTs of the host that the guest has answered with an RST. */
  refusedByGuest = 0;
  /** REQUESTs of the host that the guest has not answered in time. */
  connectTimeouts = 0;
  /** Clients of the host that were closed since no guest is ready or there are too many connections. */
  clientsRefused = 0;
  /** Bytes of the guest that were dropped, since their reader was too slow. */
  bytesLost = 0;
  /** RSTs sent to the guest. */
  resets = 0;
  /** RSTs of the guest that have ended a connection. */
  resetsFromGuest = 0;
  /** CREDIT_REQUESTs: how often a connection had bytes for the guest, and no credit. */
  creditStarved = 0;
  bytesToGuest = 0;
  bytesFromGuest = 0;
  packetsToGuest = 0;
  packetsFromGuest = 0;
  /** Packets with header and payload in one descriptor (Linux from 6.2 on); part of `packetsFromGuest`. */
  singleDescriptorFromGuest = 0;
  /** Packets to another VM of the process; part of `packetsFromGuest`. */
  packetsToSiblings = 0;
  /** Calls: how often the guest was interrupted. */
  signals = 0;
  /** Kicks of the guest. */
  kicks = 0;
  /** VMMs that have connected. */
  vmmConnects = 0;
  /** VMMs that were disconnected because of what they or their guests have sent. */
  vmmDrops = 0;
}
