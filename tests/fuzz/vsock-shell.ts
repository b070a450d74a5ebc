/** vsock-shell's codecs and state machines against peers that cheat, as a program. */
import { runSessions } from "./sessions.ts";
import { SHELL_TARGETS } from "./vsock-shell-targets.ts";

await runSessions("tests/fuzz/vsock-shell.ts", SHELL_TARGETS, 1_000_000);
