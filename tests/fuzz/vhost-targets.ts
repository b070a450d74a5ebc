/** What is fuzzed of the vhost-user device: each target plays a VMM or a guest that cheats. */
import type { VhostTarget } from "./promises.ts";
import { playDevice } from "./vhost-device-target.ts";
import { playMemory, playRing } from "./vhost-memory-targets.ts";
import { playConnection, readMessages } from "./vhost-message-targets.ts";

/** All of them. */
export const VHOST_TARGETS: readonly VhostTarget[] = [
  { name: "messages", run: readMessages },
  { name: "connection", run: playConnection },
  { name: "memory", run: playMemory },
  { name: "ring", run: playRing },
  { name: "device", run: playDevice },
];
