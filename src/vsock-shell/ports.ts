/** The default port of vsock-shell: that of its README, not the C code's 9999. */
export const SHELL_PORT = 5000;
