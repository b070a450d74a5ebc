import { beforeEach, describe, expect, test } from "bun:test";
import { GuestConnections } from "../../../../src/vfs/server/guest-connections.ts";

let closed: string[];

beforeEach(() => {
  closed = [];
});

function placesOf(most: number, mostOfGuest: number): GuestConnections<string> {
  return new GuestConnections({ most, mostOfGuest }, (connection) => closed.push(connection));
}

/** Adds a connection named `GUEST:NUMBER` that opens an export; returns the limit that was reached. */
function open(places: GuestConnections<string>, connection: string): string | undefined {
  const reached = places.add(connection, connection.split(":")[0] ?? "");
  if (reached === undefined) places.opened(connection);
  return reached;
}

describe("a guest with as many connections as it may have", () => {
  test("gets no further one, and others get in", () => {
    const places = placesOf(4, 2);
    expect([open(places, "a:1"), open(places, "a:2")]).toEqual([undefined, undefined]);
    expect(open(places, "a:3")).toBe("mostOfGuest");
    expect([open(places, "b:1"), open(places, "b:2")]).toEqual([undefined, undefined]);
    expect(closed).toEqual([]);
  });

  test("gets another one when one of its own has ended", () => {
    const places = placesOf(4, 2);
    for (const connection of ["a:1", "a:2"]) open(places, connection);
    places.remove("a:1");
    expect(open(places, "a:3")).toBeUndefined();
    expect(open(places, "a:4")).toBe("mostOfGuest");
  });

  test("loses its own oldest one that has opened nothing, none of another guest", () => {
    const places = placesOf(4, 2);
    places.add("b:1", "b");
    for (const connection of ["a:1", "a:2", "a:3"]) places.add(connection, "a");
    expect(closed).toEqual(["a:1"]);
  });

  test("of one connection loses that one, and can open the next", () => {
    const places = placesOf(4, 1);
    places.add("a:1", "a");
    places.add("a:2", "a");
    expect(closed).toEqual(["a:1"]);
    places.opened("a:2");
    expect(open(places, "a:3")).toBe("mostOfGuest");
    places.remove("a:2");
    expect(open(places, "a:3")).toBeUndefined();
  });

  test("replaces a connection of its own while all places are used", () => {
    const places = placesOf(2, 1);
    open(places, "b:1");
    places.add("a:1", "a");
    expect(open(places, "a:2")).toBeUndefined();
    expect(closed).toEqual(["a:1"]);
  });
});

describe("all guests together", () => {
  test("have a limit of their own", () => {
    const places = placesOf(2, 2);
    expect([open(places, "a:1"), open(places, "b:1")]).toEqual([undefined, undefined]);
    expect(open(places, "c:1")).toBe("most");
    places.remove("a:1");
    expect(open(places, "c:1")).toBeUndefined();
  });

  test("lose the oldest connection that has opened nothing", () => {
    const places = placesOf(2, 2);
    for (const connection of ["a:1", "b:1", "c:1"]) {
      expect(places.add(connection, connection)).toBeUndefined();
    }
    expect(closed).toEqual(["a:1"]);
  });

  test("may each have a place again after all have ended", () => {
    const places = placesOf(3, 1);
    for (let round = 0; round < 3; round++) {
      const guests = ["a:1", "b:1", "c:1"];
      expect(guests.map((guest) => open(places, guest))).toEqual([
        ...[undefined, undefined, undefined],
      ]);
      for (const guest of guests) places.remove(guest);
    }
    expect(closed).toEqual([]);
  });

  test("ignore a connection that was never added", () => {
    const places = placesOf(1, 1);
    places.opened("a:1");
    places.remove("a:1");
    expect(open(places, "a:1")).toBeUndefined();
  });
});
