/** What stands between a peer's words and this side, against broken input, as a program. */
import { fuzzReaders } from "./readers.ts";
import { UNTRUSTED_TARGETS } from "./untrusted-targets.ts";

await fuzzReaders("tests/fuzz/untrusted.ts", UNTRUSTED_TARGETS);
