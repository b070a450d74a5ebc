/** The errno numbers that the code decides by, and what a failed system call means to the user. */
import { type Operation } from "../operations.ts";
import { VsockboxError, type ErrorCode, type ErrorStep } from "../errors.ts";
import { errnoMessage, errnoName } from "../system-errors.ts";

/** The numbers that the code itself decides by. errno(3); equal on x86-64 and arm64. */
export const ERRNO = {
  EPERM: 1,
  ENOENT: 2,
  EINTR: 4,
  EIO: 5,
  ENXIO: 6,
  ENOEXEC: 8,
  EBADF: 9,
  EAGAIN: 11,
  EACCES: 13,
  EBUSY: 16,
  EEXIST: 17,
  EXDEV: 18,
  ENODEV: 19,
  ENOTDIR: 20,
  EISDIR: 21,
  EINVAL: 22,
  EMFILE: 24,
  ENOTTY: 25,
  EFBIG: 27,
  EROFS: 30,
  EPIPE: 32,
  ERANGE: 34,
  ENAMETOOLONG: 36,
  ENOSYS: 38,
  ENOTEMPTY: 39,
  ELOOP: 40,
  ENODATA: 61,
  EILSEQ: 84,
  EOPNOTSUPP: 95,
  EADDRINUSE: 98,
  ECONNABORTED: 103,
  ECONNRESET: 104,
  ENOTCONN: 107,
  ETIMEDOUT: 110,
  ECONNREFUSED: 111,
  EINPROGRESS: 115,
  ESTALE: 116,
} as const;

/** What a failed system call was about, for {@link systemError}. */
export interface SystemCall {
  operation: Operation;
  address?: string | undefined;
  hint?: string | undefined;
  code?: ErrorCode;
  /** The kernel's own words for the reason, in place of the errno's description. */
  reason?: string | undefined;
  step?: ErrorStep | undefined;
}

const CODE_OF_ERRNO: Readonly<Record<string, ErrorCode>> = {
  EACCES: "REFUSED",
  EPERM: "REFUSED",
  EADDRINUSE: "CANNOT_CREATE",
  EAFNOSUPPORT: "UNAVAILABLE",
  ESOCKTNOSUPPORT: "UNAVAILABLE",
  EPROTONOSUPPORT: "UNAVAILABLE",
  ECONNREFUSED: "UNAVAILABLE",
  ECONNRESET: "UNAVAILABLE",
  EHOSTUNREACH: "UNAVAILABLE",
  ENETUNREACH: "UNAVAILABLE",
  ENODEV: "UNAVAILABLE",
  ENOENT: "UNAVAILABLE",
  ENOTSOCK: "UNAVAILABLE",
  EADDRNOTAVAIL: "UNAVAILABLE",
  ETIMEDOUT: "TIMEOUT",
};

/** A failed system call as the error that is shown to the user. */
export function systemError(errno: number, call: SystemCall): VsockboxError {
  const name = errnoName(errno);
  return new VsockboxError({
    code: call.code ?? CODE_OF_ERRNO[name] ?? "IO",
    step: call.step,
    operation: call.operation,
    message: call.reason ?? errnoMessage(errno),
    errno: name,
    address: call.address,
    hint: call.hint,
  });
}
