/** The list of open alerts, with buttons to acknowledge and resolve. */

import { useSignal } from "@preact/signals";
import { formatValue, labelsText } from "./format.ts";
import { Rest } from "./search.tsx";
import { Since } from "./since.tsx";
import { keyOf } from "./state.ts";
import { act, alerts, currentAlerts, state } from "./store.ts";
import type { Alert } from "./types.ts";
import { isCurrent, isWebAddress, suppressedText } from "./wording.ts";

const HEADING = "alerts";
/** Its value is 0 or 1, and the title says which. */
const UP = "component_up";
/** How many alerts are shown at first, and added by each "Show more". */
const SHOWN = 100;

export function Alerts() {
  const count = alerts.value.length;
  const room = useSignal(SHOWN);
  const shown = alerts.value.slice(0, room.value);
  return (
    <section aria-labelledby={HEADING}>
      <h2 id={HEADING} tabIndex={-1}>
        Active alerts {count > 0 && <span class="count">{currentAlerts}</span>}
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
        {alert.message && <p>{alert.message}<Present alert={alert} /></p>}
        <Runbook text={alert.runbook} />
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

/** The newest value of the series, beside the one at which the alert opened. That of a silent host is old. */
function Present({ alert }: { alert: Alert }) {
  if (alert.metric === null || alert.metric === UP || !isCurrent(alert)) return null;
  const value = state.value.values.get(alert.component)?.values.get(keyOf(alert.metric, alert.labels));
  return value === undefined ? null : <> · now {formatValue(value.value, value.unit)}</>;
}

function Runbook({ text }: { text: string | null }) {
  if (!text) return null;
  if (!isWebAddress(text)) return <p class="origin">Runbook: {text}</p>;
  return <p class="origin"><a href={text} rel="noreferrer">Runbook</a></p>;
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
