/**
 * All VM tests, in this order: the runner takes files in any. The guest with the agent as its init is
 * gone before the shared one is booted, since two at once are more than a small machine can emulate;
 * and the test that takes the vsock modules away comes before anything has used them.
 */
import "./agent-init.ts";
import "./initramfs.ts";
import "./processor.ts";
import "./json-bombs.ts";
import "./self-contained.ts";
import "./uml.ts";
import "./systemd.ts";
import "./demo.ts";
import "./hybrid.ts";
import "./siblings.ts";
import "./stopped-agent.ts";
import "./forward.ts";
import "./library.ts";
import "./vsock.ts";
import "./doctor.ts";
import "./sockets.ts";
import "./monitor.ts";
import "./agent.ts";
import "./sandbox.ts";
import "./agent-flood.ts";
import "./install.ts";
import "./guest-exec.ts";
import "./vsock-shell.ts";
import "./readme.ts";
