/** The vhost-user device against VMMs, guests and host clients that cheat, as a program. */
import { runSessions } from "./sessions.ts";
import { VHOST_TARGETS } from "./vhost-targets.ts";

await runSessions("tests/fuzz/vhost.ts", VHOST_TARGETS, 2_000_000);
