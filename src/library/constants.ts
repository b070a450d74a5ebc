/** The constants of AF_VSOCK and of the agent protocol, under the names that their sources have. */
import { EXEC_PORT, READY_PORT, VFS_PORT } from "../agent/ports.ts";
import { GO_FRAME_TYPES } from "../protocols/agent/frame.ts";
import { ANY, CID_HOST, CID_HYPERVISOR, CID_LOCAL } from "../net/address.ts";

export { AF_VSOCK } from "../ffi/sockaddr.ts";
export { IOCTL_VM_SOCKETS_GET_LOCAL_CID } from "../ffi/vsock.ts";

/** Any CID, to listen. linux/vm_sockets.h. */
export const VMADDR_CID_ANY = ANY;
/** The hypervisor. linux/vm_sockets.h. */
export const VMADDR_CID_HYPERVISOR = CID_HYPERVISOR;
/** This machine itself, since Linux 5.6. linux/vm_sockets.h. */
export const VMADDR_CID_LOCAL = CID_LOCAL;
/** The host, as seen from a guest. linux/vm_sockets.h. */
export const VMADDR_CID_HOST = CID_HOST;
/** Any port, to listen: the kernel chooses one. linux/vm_sockets.h. */
export const VMADDR_PORT_ANY = ANY;

/** The agent's port for commands, files and port forwards. */
export const SERVICE_PORT_EXEC = EXEC_PORT;
/** The port of the guest's virtual file system. */
export const SERVICE_PORT_VFS = VFS_PORT;
/** The port on which an accepted connection means that the guest is ready. */
export const SERVICE_PORT_READY = READY_PORT;

/** Types of the messages that the Go agent knows. */
export const MessageType = GO_FRAME_TYPES;
