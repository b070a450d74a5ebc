/** Samples to rows: medians and ratios. */
import { alone, type BenchRow, compared } from "../table.ts";
import type { Device } from "./devices.ts";
import { measure, STEPS, type Amounts, type Sample, type Subject } from "./steps.ts";

const median = (values: readonly number[]): number => {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const [low, high] = [sorted[middle - 1 + (sorted.length % 2)] ?? 0, sorted[middle] ?? 0];
  return (low + high) / 2;
};

/** The samples of one device. */
interface Samples {
  steps: Sample[][];
  peakMib: number[];
  anonymousMib: number[];
}

/** Collects samples of both devices. */
export class Results {
  readonly #of = { vsockbox: newSamples(), peer: newSamples() };

  /** Runs every step on every subject, in turns; the first of the one round is the last of the next. */
  async round(subjects: readonly Subject[], amounts: Amounts, number: number): Promise<void> {
    const order = number % 2 === 0 ? subjects : subjects.toReversed();
    for (const [index, step] of STEPS.entries()) {
      for (const subject of order) {
        this.#samples(subject.device).steps[index]?.push(await measure(step, subject, amounts));
      }
    }
    for (const { device } of subjects) {
      this.#samples(device).peakMib.push(device.peakMib());
      this.#samples(device).anonymousMib.push(device.anonymousMib());
    }
  }

  #samples({ kind }: Device): Samples {
    return kind.name === "vsockbox" ? this.#of.vsockbox : this.#of.peer;
  }

  /** All rows. */
  rows(): BenchRow[] {
    const rows: BenchRow[] = [];
    const add = (
      what: string,
      unit: string,
      lessIsBetter: boolean,
      value: (samples: Samples) => number,
    ) => {
      const ours = { value: value(this.#of.vsockbox), unit };
      const hasPeer = this.#of.peer.peakMib.length > 0;
      const peer = { name: "vhost-device-vsock", value: value(this.#of.peer), unit };
      rows.push(
        hasPeer
          ? compared(what, ours, peer, lessIsBetter ? "less" : "more")
          : alone(what, ours.value, unit),
      );
    };
    for (const [index, { name, isBulk }] of STEPS.entries()) {
      const samples = (of: Samples) => of.steps[index] ?? [];
      const rate = (of: Samples) => median(samples(of).map((sample) => sample.rate));
      if (isBulk) add(name, "MB/s", false, (of) => rate(of) / 1e6);
      else add(name, "/s", false, rate);
    }
    for (const [index, { name, isBulk }] of STEPS.entries()) {
      if (!isBulk) continue;
      add(`processor time, ${name}`, "s/GiB", true, (of) =>
        median((of.steps[index] ?? []).map(({ cpuPerGib }) => cpuPerGib ?? 0)),
      );
    }
    add("highest RSS", "MiB", true, ({ peakMib }) => Math.max(...peakMib));
    add("anonymous memory at the end", "MiB", true, ({ anonymousMib }) =>
      Math.max(...anonymousMib),
    );
    return rows;
  }
}

function newSamples(): Samples {
  return { steps: STEPS.map(() => []), peakMib: [], anonymousMib: [] };
}
