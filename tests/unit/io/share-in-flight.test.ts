import { expect, test } from "bun:test";
import { shareInFlight } from "../../../src/io/share-in-flight.ts";

test("calls while the work runs share its result, and a later one begins anew", async () => {
  let count = 0;
  const pending: PromiseWithResolvers<number>[] = [];
  const shared = shareInFlight(() => {
    count++;
    const work = Promise.withResolvers<number>();
    pending.push(work);
    return work.promise;
  });
  const both = Promise.all([shared(), shared()]);
  expect(count).toBe(1);
  pending[0]?.resolve(7);
  expect(await both).toEqual([7, 7]);
  const third = shared();
  expect(count).toBe(2);
  pending[1]?.reject(new Error("it failed"));
  expect(await third.catch((thrown: Error) => thrown.message)).toBe("it failed");
  void shared();
  expect(count).toBe(3);
});
