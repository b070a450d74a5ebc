/** The methods of `DescriptorWatch` that this kernel has, and the timer, for tests that run with each. */
import { openEvent } from "../../src/ffi/eventfd.ts";
import { closeDescriptor } from "../../src/ffi/socket.ts";
import { openWakeUpEvent, WAKE_UP_METHODS, type WakeUpMethod } from "../../src/io/wake-up-event.ts";

function isOffered(method: WakeUpMethod): boolean {
  const descriptor = openEvent();
  const event = openWakeUpEvent(descriptor, method);
  closeDescriptor(descriptor);
  if (event === undefined) console.warn(`SKIPPED: the kernel refuses ${method}`);
  return event !== undefined;
}

/** A watch's methods, by a name. */
export interface NamedMethods {
  name: string;
  methods: readonly WakeUpMethod[];
}

/** Each method alone, and none: the timer. */
export const EACH_METHOD: readonly NamedMethods[] = [
  ...WAKE_UP_METHODS.filter(isOffered).map((method) => ({ name: method, methods: [method] })),
  { name: "a timer", methods: [] },
];
