/** The guest-exec protocol's readers against broken input, as a program. */
import { GUEST_EXEC_TARGETS } from "./guest-exec-targets.ts";
import { fuzzReaders } from "./readers.ts";

await fuzzReaders("tests/fuzz/guest-exec.ts", GUEST_EXEC_TARGETS);
