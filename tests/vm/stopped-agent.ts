/** An agent that is stopped (SIGSTOP), or whose whole VM is: every client ends with 75, also in the middle. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { bootGuest, type Guest } from "../../src/vm/guest.ts";
import {
  BINARY,
  eventually,
  Running,
  ScratchDirectory,
  shell,
  vsockbox,
} from "../support/binary.ts";
import { parseFindings } from "../support/doctor-run.ts";
import { runIn } from "../support/guest-lines.ts";
import { describeUml, describeVm, inGuest, prepare } from "./support.ts";

const DIAL = "--connect-timeout 2";

describeVm("a stopped agent over AF_VSOCK", () => {
  const AGENT = "local:5050";
  const CLIENTS = [
    `exec ${DIAL} ${AGENT} -- true`,
    `exec ${DIAL} -d ${AGENT} -- true`,
    `ps ${DIAL} ${AGENT}`,
    `info ${DIAL} ${AGENT}`,
    `ls ${DIAL} ${AGENT}:/`,
    `cp ${DIAL} /tmp/stop.file ${AGENT}:/tmp/stop.copy`,
    `cp ${DIAL} ${AGENT}:/tmp/stop.file /tmp/stop.copy`,
    `forward ${DIAL} ${AGENT} -L 0:localhost:1`,
    `wait --agent ${AGENT} --timeout 2`,
  ];

  beforeAll(async () => {
    await prepare(
      "(vsockbox agent --listen vsock::5050 --ready-listen vsock::5052 --allow-local -q > /tmp/stop.log 2>&1 & echo $! > /tmp/stop.pid); vsockbox wait local:5050",
    );
    await prepare("echo content > /tmp/stop.file; kill -STOP $(cat /tmp/stop.pid)");
    // All of them wait at once.
    for (const [index, line] of CLIENTS.entries()) {
      await prepare(
        `(vsockbox ${line} > /dev/null 2> /tmp/stop.stderr${index}; echo $? > /tmp/stop.status${index}) > /dev/null 2>&1 &`,
      );
    }
  });
  afterAll(async () => {
    await inGuest("kill -CONT $(cat /tmp/stop.pid); kill $(cat /tmp/stop.pid); rm -f /tmp/stop.*");
  });

  test.each([...CLIENTS.entries()])(
    "client %d of the list ends with 75: %s",
    async (index, line) => {
      const { stdout, stderr } = await inGuest(
        `until [ -s /tmp/stop.status${index} ]; do sleep 0.1; done; cat /tmp/stop.status${index}; cat /tmp/stop.stderr${index} >&2`,
      );
      expect({ line, stdout, stderr }).toMatchObject({
        line,
        stdout: "75\n",
        stderr: expect.stringContaining("hint:"),
      });
    },
  );

  test("serves again when it goes on", async () => {
    await prepare("kill -CONT $(cat /tmp/stop.pid)");
    expect(await prepare(`vsockbox wait ${AGENT} && vsockbox exec ${AGENT} -- echo back`)).toBe(
      "back\n",
    );
  });
});

describeUml("a stopped agent of a VM of hybrid-proxy", () => {
  let scratch: ScratchDirectory;
  let device: Running;
  let guest: Guest;
  let address: string;

  beforeAll(async () => {
    scratch = new ScratchDirectory();
    const [socket, uds] = [scratch.file("vhost"), scratch.file("vm.vsock")];
    address = `hybrid:${uds}`;
    device = new Running([
      "hybrid-proxy",
      "--guest-cid",
      "8",
      "--socket",
      socket,
      "--uds-path",
      uds,
    ]);
    await device.says("waiting for its VMM");
    guest = await bootGuest({
      vmm: "uml",
      binary: BINARY,
      environment: { VSOCKBOX_TEST_VM: "1", NO_COLOR: "1" },
      vsockDevices: [socket],
    });
    await runIn(guest, "(vsockbox agent -q > /tmp/agent.log 2>&1 & echo $! > /tmp/agent.pid)");
    expect(await vsockbox(["wait", address, "--timeout", "120"])).toMatchObject({ status: 0 });
  });
  afterAll(async () => {
    await guest?.stop();
    await device?.[Symbol.asyncDispose]();
    scratch?.[Symbol.dispose]();
  });

  const stop = () => runIn(guest, "kill -STOP $(cat /tmp/agent.pid)");
  const goOn = () => runIn(guest, "kill -CONT $(cat /tmp/agent.pid)");

  test("ends every client with 75, and is not ready", async () => {
    await stop();
    try {
      const clients = [
        ["exec", "--connect-timeout", "2", address, "--", "true"],
        ["ps", "--connect-timeout", "2", address],
        ["ls", "--connect-timeout", "2", `${address}:/`],
        ["cp", "--connect-timeout", "2", `${address}:/etc/passwd`, scratch.file("copy")],
        ["forward", "--connect-timeout", "2", address, "-L", "0:localhost:1"],
        ["wait", address, "--timeout", "2"],
      ];
      const results = await Promise.all(clients.map((words) => vsockbox(words)));
      expect(results.map(({ status }, index) => [clients[index], status])).toEqual(
        clients.map((words) => [words, 75]),
      );
    } finally {
      await goOn();
    }
    expect(await vsockbox(["wait", address, "--timeout", "120"])).toMatchObject({ status: 0 });
  });

  test("ends a command that runs, and an upload, by their keepalive", async () => {
    // The command is in the phase of the keepalive, the upload in that of its first answer.
    const keepalive = ["--connect-timeout", "8", "--keepalive", "2"];
    await using command = new Running([
      ...["exec", ...keepalive, address, "--", "sh", "-c", "echo begun >&2; sleep 600"],
    ]);
    await command.says("begun");
    await using upload = new Running(["cp", ...keepalive, "-", `${address}:/tmp/upload`]);
    upload.process.stdin.write(new Uint8Array(1024 * 1024));
    await upload.process.stdin.flush();
    await eventually("bytes arrive", async () => {
      const { stdout } = await vsockbox(["hybrid-proxy", "status", address.slice(7), "--json"]);
      const { counters } = JSON.parse(stdout) as { counters: { bytes_to_guest: number } };
      return counters.bytes_to_guest > 512 * 1024;
    });
    await stop();
    try {
      for (const { process, stderrDone } of [command, upload]) {
        expect(await process.exited).toBe(75);
        await stderrDone;
      }
      for (const { stderr } of [command, upload]) expect(stderr).toContain("nothing was received");
    } finally {
      await goOn();
    }
  });

  test("is silent for doctor, which names no command of this side", async () => {
    await stop();
    try {
      const words = ["doctor", "--json", "--connect-timeout", "2", address];
      const { status, stdout } = await vsockbox(words);
      const { bad } = parseFindings(stdout);
      expect({ status, bad }).toMatchObject({
        status: 75,
        bad: [{ code: "peer-silent", fix: null, hint: expect.stringContaining("kill -CONT") }],
      });
    } finally {
      await goOn();
    }
    expect(await vsockbox(["wait", address, "--timeout", "120"])).toMatchObject({ status: 0 });
  });

  test("has a clock that is off: doctor's command sets it", async () => {
    const doctor = async () => {
      const { status, stdout } = await vsockbox(["doctor", "--json", address]);
      return { status, ...parseFindings(stdout) };
    };
    await runIn(guest, 'date -u -s "@$(($(date +%s) - 7200))"');
    const off = await doctor();
    expect(off).toMatchObject({
      status: 0,
      bad: [{ severity: "warning", code: "clock-off", message: expect.stringContaining("slow") }],
    });
    // The command sets whole seconds, as exact as the start of a command on a busy machine.
    await eventually("the clock is right", async () => {
      expect(await shell(off.bad[0]?.fix ?? "false")).toMatchObject({ status: 0 });
      return (await doctor()).bad.length === 0;
    });
  });

  test("is not left while it answers, however silent its command is", async () => {
    const words = ["exec", "--keepalive", "200ms", address, "--", "sh", "-c", "sleep 2; echo end"];
    expect(await vsockbox(words)).toMatchObject({ status: 0, stdout: "end\n" });
  });
});
