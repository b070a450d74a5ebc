import { expect, test } from "bun:test";
import { withArticle } from "../../../src/text/article.ts";

test.each([
  ["Exec", "an Exec"],
  ["end", "an end"],
  ["Open", "an Open"],
  ["UploadStart", "an UploadStart"],
  ["Stdin", "a Stdin"],
  ["type 99", "a type 99"],
  ["0x11", "a 0x11"],
])("the article of %s is that of its first letter", (name, expected) => {
  expect(withArticle(name)).toBe(expected);
});
