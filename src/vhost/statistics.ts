/** What a device counts, for status and metrics. All numbers only grow. */
export class DeviceStatistics {
  /** Connections that were begun, by either side. */
  opened = 0;
  /** Requests of the guest that were answered with an RST. */
  refused = 0;
  /** Clients of the host that were turned away. */
  clientsRefused = 0;
  /** RSTs for packets to connections that are none. */
  resets = 0;
  bytesToGuest = 0;
  bytesFromGuest = 0;
  packetsToGuest = 0;
  packetsFromGuest = 0;
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
