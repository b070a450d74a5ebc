/**
 * The environment variable with which `hybrid-proxy --sandbox` restarts itself. A file of its own, so that
 * other commands start without loading the device.
 */

/** Contains {@link SIGNALS_HELD}, or the number of the memfd with the devices to serve. */
export const CONFINED_VARIABLE = "VSOCKBOX_CONFINED_DEVICE";

/** Ending signals are blocked in all threads; the sockets are not open yet. */
export const SIGNALS_HELD = "signals-held";
