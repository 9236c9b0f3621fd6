import assert from "node:assert/strict";
import { test } from "node:test";
import { areaBase, percentRange } from "../src/axis.ts";

const rounded = (range: [number, number]) => range.map((edge) => Math.round(edge * 100) / 100);

test("percent span zero, end at a hundred unless there is more, and never have no height", () => {
  const expected: [number | null, number | null, number[]][] = [
    [10, 50, [0, 55]], [10, 99, [0, 100]], [0, 150, [0, 165]], [0, 0, [0, 1]], [null, null, [0, 1.1]],
    [-30, -10, [-33, 0]], [-10, 20, [-11, 22]], [-10, 0, [-11, 0]],
  ];
  for (const [least, most, range] of expected) assert.deepEqual(rounded(percentRange(least, most)), range);
});

test("an area ends at zero, or at the lower edge where zero is not on the axis", () => {
  assert.equal(areaBase(-10, 20), 0);
  assert.equal(areaBase(0, 20), 0);
  assert.equal(areaBase(-20, 0), 0);
  assert.equal(areaBase(90, 110), 90);
  assert.equal(areaBase(-110, -90), -110);
});
