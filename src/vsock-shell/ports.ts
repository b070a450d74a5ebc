/** Where vsock-shell listens unless told otherwise: the README's port, not the C code's 9999. */
export const SHELL_PORT = 5000;
