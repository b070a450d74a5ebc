/** The live view of `vsockbox top`: samples, keys, signals and sizes of the terminal become drawings. */
import { delay } from "../../io/deadline.ts";
import { RawTerminal, terminalSize } from "../../process/raw-terminal.ts";
import { onEndingSignal, statusOfSignal, TERMINAL_ENDING_SIGNALS } from "../../process/signals.ts";
import { FullScreen } from "../../ui/full-screen.ts";
import { nextOrder, type SortOrder, type TopSample } from "./top-samples.ts";
import { topLines } from "./top-view.ts";

const CTRL_C = "\u0003";

/** What {@link watch} shows. */
export interface WatchOptions {
  /** Takes one sample. */
  sample(): Promise<TopSample>;
  intervalMs: number;
  order: SortOrder;
}

/**
 * Shows samples on the terminal until a key or a signal ends it; the terminal is then as before.
 *
 * @returns the exit status: 0 for `q`, 128 + N for Ctrl-C and signals.
 * @throws whatever `sample` throws.
 */
export async function watch({ sample, intervalMs, order }: WatchOptions): Promise<number> {
  const ended = Promise.withResolvers<number>();
  let sorted = order;
  const over = new AbortController();
  let [previous, current]: (TopSample | undefined)[] = [];
  using _signals = onEndingSignal(
    (signal) => ended.resolve(statusOfSignal(signal)),
    TERMINAL_ENDING_SIGNALS,
  );
  using terminal = new RawTerminal();
  using screen = new FullScreen();
  const draw = () => {
    if (current === undefined || over.signal.aborted) return;
    const { cols: columns, rows } = terminalSize();
    screen.draw(topLines(current, previous, { columns, rows, order: sorted, hasKeys: true }));
  };
  const onKey = (key: string) => {
    if (key === "q" || key === "Q") ended.resolve(0);
    else if (key === CTRL_C) ended.resolve(statusOfSignal("SIGINT"));
    else if (key === "s") {
      sorted = nextOrder(sorted);
      draw();
    }
  };
  const takeSamples = async () => {
    for (;;) {
      const next = await sample();
      [previous, current] = [current, next];
      draw();
      await delay(intervalMs, over.signal);
    }
  };
  terminal.onResize(draw);
  void readKeys(terminal, onKey).then(() => ended.resolve(statusOfSignal("SIGHUP")));
  void takeSamples().catch(ended.reject);
  try {
    return await ended.promise;
  } finally {
    over.abort();
  }
}

/** Calls `onKey` for each byte that is typed, until the terminal hangs up. */
async function readKeys(terminal: RawTerminal, onKey: (key: string) => void): Promise<void> {
  for await (const bytes of terminal.keys()) {
    for (const key of Buffer.from(bytes).toString("latin1")) onKey(key);
  }
}
