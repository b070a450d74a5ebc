/** /proc/net/dev: a line for each network interface, with counts since it was made. */
import { fieldsOf, unsignedFields } from "./numbers.ts";

/** Fields of a line: eight of received packets, eight of sent ones. */
const FIELD_COUNT = 16;

/** Index of the first field of sent packets. */
const SENT = 8;

/** Counts of one direction of an interface. */
export interface TrafficCounts {
  bytes: number;
  packets: number;
  errors: number;
  drops: number;
}

/** Counts of one interface. */
export interface NetworkDevice {
  /** Name, such as `eth0`. */
  device: string;
  received: TrafficCounts;
  sent: TrafficCounts;
}

/** Reads /proc/net/dev, without the loopback interface; headings and broken lines are ignored. */
export function parseNetworkDevices(text: string): NetworkDevice[] {
  return text.split("\n").flatMap((line) => {
    const colon = line.lastIndexOf(":");
    if (colon < 0) return [];
    const device = line.slice(0, colon).trim();
    const numbers = unsignedFields(fieldsOf(line.slice(colon + 1)), 0, FIELD_COUNT);
    if (numbers === undefined || device === "" || device === "lo") return [];
    const [received, sent] = [countsAt(numbers, 0), countsAt(numbers, SENT)];
    return [{ device, received, sent }];
  });
}

function countsAt(numbers: readonly number[], begin: number): TrafficCounts {
  const [bytes = 0, packets = 0, errors = 0, drops = 0] = numbers.slice(begin);
  return { bytes, packets, errors, drops };
}
