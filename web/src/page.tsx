/** The page from top to bottom. */

import { useEffect } from "preact/hooks";
import { Alerts } from "./alerts.tsx";
import { Components, Overview } from "./components.tsx";
import { Header, Interruption } from "./header.tsx";
import { Past } from "./history.tsx";
import { news, state, version } from "./store.ts";
import { Values } from "./values.tsx";
import { watch } from "./watching.ts";

export function Page() {
  return (
    <>
      <Header />
      <main id="main">
        <Interruption />
        {state.value.isComplete ? <Present /> : <p class="waiting">Waiting for the first values…</p>}
      </main>
      <footer>
        <p>Vigia {version}</p>
        <p><a href="/api/v1/docs">API documentation</a></p>
      </footer>
      <p class="unseen" role="status">{news}</p>
    </>
  );
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
