/** Ports of the agent's services in the guest, as in the Go vsock package. */

/** Commands, streams, files, port forward. */
export const EXEC_PORT = 5000;
/** The virtual file system of the guest; vsockbox itself has no service there. */
export const VFS_PORT = 5001;
/** An accepted connection means that the guest is ready. */
export const READY_PORT = 5002;
