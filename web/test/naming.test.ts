import assert from "node:assert/strict";
import { test } from "node:test";
import { base64url, browserTitle, hex } from "../src/push/naming.ts";

test("a browser is called by its maker's name and its system", () => {
  const chrome = "Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Mobile Safari/537.36";
  assert.equal(browserTitle(chrome), "Chrome on Android");
  assert.equal(browserTitle(`${chrome} EdgA/140.0`), "Edge on Android");
  const safari = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1 (KHTML, like Gecko) Version/18.0 Mobile/1 Safari/604.1";
  assert.equal(browserTitle(safari), "Safari on iPhone");
  assert.equal(browserTitle("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"), "Firefox on Linux");
  assert.equal(browserTitle("something else"), "Browser");
});

test("keys are base64 for URLs without padding, and digests are hex", () => {
  assert.equal(base64url(new Uint8Array([251, 255, 254, 1]).buffer), "-__-AQ");
  assert.equal(hex(new Uint8Array([0, 15, 255]).buffer), "000fff");
});
