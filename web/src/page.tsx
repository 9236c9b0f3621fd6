/** The page from top to bottom; its address says which one it is. */

import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import { Alerts } from "./alerts.tsx";
import { Components, Overview } from "./components.tsx";
import { Header, Interruption } from "./header.tsx";
import { Past } from "./history.tsx";
import { OnCall } from "./oncall/page.tsx";
import { Settings } from "./settings/page.tsx";
import { news, state, version } from "./store.ts";
import { Values } from "./values.tsx";
import { watch } from "./watching.ts";

/** Whose addresses the service serves; see api/pages/pages.py. */
const PAGES: Record<string, () => JSX.Element> = { "/on-call": OnCall, "/settings": Settings };

export function Page() {
  const Content = PAGES[location.pathname] ?? Overall;
  return (
    <>
      <Header />
      <main id="main">
        <Interruption />
        <Content />
      </main>
      <footer>
        <p>Vigia {version}</p>
        <p><a href="/api/v1/docs">API documentation</a></p>
      </footer>
      <p class="unseen" role="status">{news}</p>
    </>
  );
}

function Overall() {
  return state.value.isComplete ? <Present /> : <p class="waiting">Waiting for the first values…</p>;
}

function Present() {
  useEffect(watch, []);
  return (
    <>
      <Overview />
      <Alerts />
      <Components />
      <Past />
      <Values />
    </>
  );
}
