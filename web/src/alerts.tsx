/** The list of open alerts, with buttons to acknowledge and resolve. */

import { useSignal } from "@preact/signals";
import { labelsText } from "./format.ts";
import { Rest } from "./search.tsx";
import { Since } from "./since.tsx";
import { act, alerts, state } from "./store.ts";
import type { Alert } from "./types.ts";
import { suppressedText } from "./wording.ts";

const HEADING = "alerts";
/** How many alerts are shown at first, and added by each "Show more". */
const SHOWN = 100;

export function Alerts() {
  const count = alerts.value.length;
  const room = useSignal(SHOWN);
  const shown = alerts.value.slice(0, room.value);
  return (
    <section aria-labelledby={HEADING}>
      <h2 id={HEADING} tabIndex={-1}>
        Active alerts {count > 0 && <span class="count">{count}</span>}
      </h2>
      {count === 0 && <p class="quiet">No active alerts.</p>}
      <ul class="alerts">
        {shown.map((alert) => <OneAlert key={alert.id} alert={alert} />)}
      </ul>
      <Rest shown={shown.length} total={count} noun="alerts" onMore={() => (room.value += SHOWN)} />
      {state.value.hasMoreAlerts && <p class="quiet">Only the newest alerts are shown.</p>}
    </section>
  );
}

function OneAlert({ alert }: { alert: Alert }) {
  const isBusy = useSignal(false);
  const problem = useSignal("");

  async function ask(step: "resolve" | "acknowledge"): Promise<void> {
    isBusy.value = true;
    problem.value = "";
    try {
      await act(alert, step);
      // The button with the focus disappears, so move the focus to the heading.
      document.getElementById(HEADING)?.focus();
    } catch (error) {
      problem.value = error instanceof Error ? error.message : String(error);
    } finally {
      isBusy.value = false;
    }
  }

  return (
    <li class="panel alert" data-level={alert.level}>
      <div class="alert-text">
        <h3><span class="level">{alert.level}</span> {alert.title}</h3>
        {alert.message && <p>{alert.message}</p>}
        <Origin alert={alert} />
      </div>
      <div class="actions">
        {alert.acknowledged_at === null && (
          <button type="button" disabled={isBusy} aria-label={`Acknowledge: ${alert.title}`} onClick={() => ask("acknowledge")}>
            Acknowledge
          </button>
        )}
        <button type="button" disabled={isBusy} aria-label={`Resolve: ${alert.title}`} onClick={() => ask("resolve")}>
          Resolve
        </button>
      </div>
      <p class="problem" role="alert">{problem}</p>
    </li>
  );
}

function Origin({ alert }: { alert: Alert }) {
  const labels = labelsText(alert.labels);
  return (
    <p class="origin">
      {alert.component}
      {labels && <> · {labels}</>} · <Since time={alert.opened_at} />
      {alert.acknowledged_by !== null && <> · acknowledged by {alert.acknowledged_by}</>}
      {alert.suppressed_by.length > 0 && <> · {suppressedText(alert.suppressed_by)}</>}
    </p>
  );
}
