/** A box to search in, and how much of everything is shown. */

import type { Signal } from "@preact/signals";
import { formatCount } from "./format.ts";

export function Search({ label, text }: { label: string; text: Signal<string> }) {
  return (
    <label class="search">
      <span class="unseen">{label}</span>
      <input
        type="search"
        placeholder={label}
        value={text.value}
        autocomplete="off"
        spellcheck={false}
        onInput={(event) => (text.value = event.currentTarget.value)}
      />
    </label>
  );
}

/** How many of how many are shown, and how to get to the others. */
export function Rest({ shown, total, noun, onMore }: { shown: number; total: number; noun: string; onMore?: (() => void) | undefined }) {
  if (shown >= total) return null;
  return (
    <p class="rest">
      <span>{formatCount(shown)} of {formatCount(total)} {noun} are shown.</span>{" "}
      {onMore ? <button type="button" onClick={onMore}>Show more {noun}</button> : <span>Search to find the others.</span>}
    </p>
  );
}
