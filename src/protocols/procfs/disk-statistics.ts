/** /proc/diskstats: a line for each block device and partition, with counts since the boot. */
import { fieldsOf, unsignedFields } from "./numbers.ts";

/** Bytes of a sector in /proc/diskstats, whatever the device's own are. */
const SECTOR_BYTES = 512;

const MS_PER_SECOND = 1000;

/** Fields after the name that every kernel since 2.6 has. */
const FIELD_COUNT = 11;

/** Memory, files and floppies, and partitions: their disk counts them as well. */
const IGNORED = /^(?:z?ram|loop|fd)\d+$|^(?:[hsv]|xv)d[a-z]+\d+$|^(?:nvme\d+n|mmcblk)\d+p\d+$/;

/** Counts of one disk. */
export interface DiskStatistics {
  /** Name of the device, such as `vda`. */
  device: string;
  readsCompleted: number;
  readBytes: number;
  readSeconds: number;
  writesCompleted: number;
  writtenBytes: number;
  writeSeconds: number;
  /** Requests that are in progress. */
  inProgress: number;
  /** Time with at least one request in progress. */
  busySeconds: number;
}

/** Reads /proc/diskstats, without partitions, loop devices and RAM disks; broken lines are ignored. */
export function parseDiskStatistics(text: string): DiskStatistics[] {
  return text.split("\n").flatMap((line) => {
    const fields = fieldsOf(line);
    const device = fields[2];
    const numbers = unsignedFields(fields, 3, FIELD_COUNT);
    if (device === undefined || numbers === undefined || IGNORED.test(device)) return [];
    const at = (index: number) => numbers[index] ?? 0;
    return [
      {
        device,
        readsCompleted: at(0),
        readBytes: at(2) * SECTOR_BYTES,
        readSeconds: at(3) / MS_PER_SECOND,
        writesCompleted: at(4),
        writtenBytes: at(6) * SECTOR_BYTES,
        writeSeconds: at(7) / MS_PER_SECOND,
        inProgress: at(8),
        busySeconds: at(9) / MS_PER_SECOND,
      },
    ];
  });
}
