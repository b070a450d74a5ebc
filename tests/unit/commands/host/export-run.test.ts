import { describe, expect, test } from "bun:test";
import { exportMetrics, exportNames } from "../../../../src/commands/host/export-run.ts";

describe("the names of exports", () => {
  test("are those of --as in turn, then the directories' own", () => {
    expect([...exportNames(["/a/b", "/c/d/", "/e"], ["x"])]).toEqual([
      ["x", "/a/b"],
      ["d", "/c/d"],
      ["e", "/e"],
    ]);
    expect([...exportNames(["/"], [])]).toEqual([["root", "/"]]);
  });

  test("fit into an address", () => {
    expect(() => exportNames(["/a/x\ny"], [])).toThrow(
      "cannot name an export: expected a name of at most 255 characters, without slashes",
    );
    expect([...exportNames(["/a/x\ny"], ["z"]).keys()]).toEqual(["z"]);
    expect([...exportNames(["/a/my data"], []).keys()]).toEqual(["my data"]);
  });

  test("are different", () => {
    expect(() => exportNames(["/a/x", "/b/x"], [])).toThrow("two exports have the name x");
    expect(() => exportNames(["/a/x", "/b/y"], ["y"])).toThrow("two exports have the name y");
    expect(exportNames(["/a/x", "/b/x"], ["y", "z"]).size).toBe(2);
    expect(() => exportNames(["/a"], ["b", "c"])).toThrow("--as is given 2 times for 1 directory");
  });
});

test("metrics have each counter by its name", () => {
  const counters = { requests: 1, readBytes: 2, writtenBytes: 3, connections: 4, inFlight: 0 };
  const values = exportMetrics({ counters, connections: 5 }).map(({ name, type, samples }) => [
    name.replace("vsockbox_export_", ""),
    type,
    samples[0]?.value,
  ]);
  expect(values).toEqual([
    ["connections", "gauge", 5],
    ["connections_total", "counter", 4],
    ["requests_total", "counter", 1],
    ["read_bytes_total", "counter", 2],
    ["written_bytes_total", "counter", 3],
  ]);
});
