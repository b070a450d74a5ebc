import { expect, test } from "bun:test";
import { readExposition } from "../../support/exposition.ts";

const HEAD = "# HELP a_total Help.\n# TYPE a_total counter\n";

test("a valid text is read", () => {
  const text = `${HEAD}a_total{x="1\\n\\"\\\\",y="z"} 5\na_total 1.5e+21\n# HELP b B.\n# TYPE b gauge\nb -1\n`;
  expect([...readExposition(text)]).toEqual([
    [
      "a_total",
      {
        type: "counter",
        help: "Help.",
        samples: [
          { labels: { x: '1\n"\\', y: "z" }, value: 5 },
          { labels: {}, value: 1.5e21 },
        ],
      },
    ],
    ["b", { type: "gauge", help: "B.", samples: [{ labels: {}, value: -1 }] }],
  ]);
});

test.each([
  `${HEAD}a_total 5`,
  `${HEAD}${HEAD}a_total 5\n`,
  `${HEAD}`,
  "a_total 5\n",
  "# HELP a_total x\na_total 5\n",
  `${HEAD}# TYPE a_total counter\na_total 5\n`,
  "# HELP a x\n# TYPE a counter\na 5\n",
  "# HELP a_total x\n# TYPE a_total gauge\na_total 5\n",
  "# HELP a x\n# TYPE a histogram\na 5\n",
  `${HEAD}a_total 5\na_total 6\n`,
  `${HEAD}a_total{x="1",y="2"} 5\na_total{y="2",x="1"} 6\n`,
  `${HEAD}a_total{x="1",x="2"} 5\n`,
  `${HEAD}a_total{x="a"b"} 5\n`,
  `${HEAD}a_total{x="\\t"} 5\n`,
  `${HEAD}a_total -5\n`,
  `${HEAD}a_total x\n`,
  `${HEAD}a_total 0x5\n`,
  `${HEAD}a_total 5 \n`,
  `${HEAD}b_total 5\n`,
])("%j is refused", (text) => {
  expect(() => readExposition(text)).toThrow();
});
