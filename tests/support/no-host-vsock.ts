/**
 * Loaded before every test file: nothing that a test starts on the host may touch AF_VSOCK. Only the
 * init of the test guest says otherwise.
 */
import { setDefaultTimeout } from "bun:test";

if (process.env["VSOCKBOX_TEST_VM"] !== "1") process.env["VSOCKBOX_NO_VSOCK"] = "1";

// Real processes on a busy machine of two cores: five seconds are too few.
setDefaultTimeout(120_000);
