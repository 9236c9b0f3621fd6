/** What people set up: notifications of this browser, and the channels. */

import { ThisBrowser } from "../push/this-browser.tsx";

export function Settings() {
  return (
    <>
      <h1>Settings</h1>
      <ThisBrowser onChange={() => undefined} />
    </>
  );
}
