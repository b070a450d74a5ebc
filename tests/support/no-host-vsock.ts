/**
 * Loaded before every test file: nothing that a test starts on the host may touch AF_VSOCK. Only the
 * init of the test guest says otherwise.
 */
if (process.env["VSOCKBOX_TEST_VM"] !== "1") process.env["VSOCKBOX_NO_VSOCK"] = "1";
