/** Sizes and times for people. */

const UNITS = ["KiB", "MiB", "GiB", "TiB"] as const;

/** `1.5 MiB`; bytes below 1024 as they are. */
export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = "B";
  for (const next of UNITS) {
    if (value < 1024) break;
    value /= 1024;
    unit = next;
  }
  return unit === "B" ? `${value} B` : `${value.toFixed(value < 10 ? 1 : 0)} ${unit}`;
}

/** `0:07`, `1:02:03`. */
export function formatClock(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const pad = (value: number) => String(value).padStart(2, "0");
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor((whole % 3600) / 60);
  return hours > 0
    ? `${hours}:${pad(minutes)}:${pad(whole % 60)}`
    : `${minutes}:${pad(whole % 60)}`;
}

/** `2 d 3:04:05`. */
export function formatUptime(seconds: number): string {
  const days = Math.floor(seconds / 86_400);
  return days === 0 ? formatClock(seconds) : `${days} d ${formatClock(seconds % 86_400)}`;
}

/** Returns a duration in its largest whole unit: `10s`, `500ms`, `2m`, `1h`. */
export function formatDuration(milliseconds: number): string {
  if (milliseconds === 0) return "0";
  if (milliseconds % 1000 !== 0) return `${milliseconds}ms`;
  const seconds = milliseconds / 1000;
  if (seconds % 3600 === 0) return `${seconds / 3600}h`;
  return seconds % 60 === 0 ? `${seconds / 60}m` : `${seconds}s`;
}

/** Returns a size exactly, in its largest whole unit: `64 MiB`, `1000`. */
export function formatSize(bytes: number): string {
  let value = bytes;
  let unit = "";
  for (const next of UNITS) {
    if (value === 0 || value % 1024 !== 0) break;
    value /= 1024;
    unit = ` ${next}`;
  }
  return `${value}${unit}`;
}
