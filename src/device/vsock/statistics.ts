/** What a device counts, for status and metrics. All numbers only grow. */
export class DeviceStatistics {
  /** Connections that were begun, by either side. */
  opened = 0;
  /** Of these, those that the guest began. */
  openedByGuest = 0;
  /** Requests of the guest that were answered with an RST. */
  refused = 0;
  /** Requests of the host that the guest answered with an RST. */
  refusedByGuest = 0;
  /** Requests of the host that the guest has not answered in time. */
  connectTimeouts = 0;
  /** Clients of the host that were turned away. */
  clientsRefused = 0;
  /** Bytes of the guest that were dropped, since their reader was too slow. */
  bytesLost = 0;
  /** RSTs that the guest was told. */
  resets = 0;
  /** RSTs of the guest for connections that there were. */
  resetsFromGuest = 0;
  /** How often a connection had bytes for the guest, and the guest no room for them. */
  creditStarved = 0;
  bytesToGuest = 0;
  bytesFromGuest = 0;
  packetsToGuest = 0;
  packetsFromGuest = 0;
  /** Of these, those with payload whose header is in the same descriptor: Linux from 6.2 on. */
  singleDescriptorFromGuest = 0;
  /** Packets that went to another VM of the process; part of `packetsFromGuest`. */
  packetsToSiblings = 0;
  /** How often the guest was signalled. */
  signals = 0;
  /** How often the guest has kicked. */
  kicks = 0;
  /** VMMs that have connected. */
  vmmConnects = 0;
  /** VMMs that were dropped for what they, or their guests, did. */
  vmmDrops = 0;
}
