/** Arbitrary VMs of hybrid-proxy. */
import fc from "fast-check";
import type { HybridBackend, VmConfig } from "../../src/device/config/device-config.ts";

const u32 = (min: number, max = 0xffff_fffe) => fc.integer({ min, max });

/** Any characters that a path, or a group's name, can have in every form. */
const text = fc
  .string({ minLength: 1, maxLength: 20, unit: "grapheme" })
  .filter((name) => !/[\0+/]/.test(name) && name !== "." && name !== "..");

const maybe = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });

const mode = maybe(fc.integer({ min: 0, max: 0o777 }));
const owner = maybe(
  fc.constantFrom("root", "root:kvm", ":kvm", "1000", "0:1000", ":36", "a-b.c_d:x"),
);
const size = maybe(fc.oneof(u32(1), fc.constantFrom(1024, 10 * 2 ** 20, 3 * 2 ** 30)));

const vm = fc.record({
  guestCid: u32(3),
  name: text,
  backend: fc.oneof(
    fc.constant(undefined),
    fc.record({
      forwardCid: u32(0),
      forwardListen: fc.uniqueArray(u32(0), { maxLength: 3 }),
    }),
  ),
  txBufferSize: u32(1, 0xffff_ffff),
  queueExponent: fc.integer({ min: 1, max: 15 }),
  groups: fc.uniqueArray(text, { minLength: 1, maxLength: 3 }),
  capture: fc.option(fc.record({ payloadBytes: fc.option(u32(0, 262_068), { nil: undefined }) }), {
    nil: undefined,
  }),
  access: fc.record({ socketMode: mode, socketOwner: owner }),
  udsAccess: fc.record({
    udsMode: mode,
    udsOwner: owner,
    lineTimeoutMs: maybe(fc.integer({ min: 1, max: 0x7fff_ffff })),
  }),
  maxConnections: fc.integer({ min: 1, max: 1_048_576 }),
  connectTimeoutMs: maybe(fc.integer({ min: 1, max: 0x7fff_ffff })),
  rates: fc.oneof(
    fc.constant({}),
    fc.record({ rateToGuest: u32(4096), rateFromGuest: maybe(u32(4096)), burst: size }),
    fc.record({ rateFromGuest: fc.constant(5 * 2 ** 20), burst: size }),
  ),
});

/** VMs that do not clash. */
export const vmList: fc.Arbitrary<VmConfig[]> = fc
  .uniqueArray(vm, { minLength: 1, maxLength: 3, selector: ({ guestCid }) => guestCid })
  .map((list) => {
    const ports = new Set<number>();
    const fresh = (port: number) => !ports.has(port) && ports.add(port).has(port);
    return list.map(
      ({ name, backend, queueExponent, access, udsAccess, rates, capture, ...same }): VmConfig => {
        const { guestCid } = same;
        const udsPath = `/run/${guestCid}/${name}.vsock`;
        const unix: HybridBackend = { kind: "unix", udsPath, ...udsAccess };
        return {
          ...same,
          ...access,
          ...rates,
          socket: `/run/${guestCid}/${name}.socket`,
          backend:
            backend === undefined
              ? unix
              : {
                  kind: "vsock",
                  forwardCid: backend.forwardCid,
                  forwardListen: backend.forwardListen.filter(fresh),
                },
          queueSize: 2 ** queueExponent,
          ...(capture === undefined
            ? {}
            : { capture: { file: `/run/${guestCid}/${name}.pcap`, ...capture } }),
        };
      },
    );
  })
  .filter((vms) =>
    vms.every(({ socket }) => Buffer.byteLength(socket) <= 107 && socket.isWellFormed()),
  );
