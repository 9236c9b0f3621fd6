/** A search field, and a line with how many items are shown. */

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

/** Tells how many items are shown, with a button for more or a hint to search. */
export function Rest({ shown, total, noun, onMore }: { shown: number; total: number; noun: string; onMore?: (() => void) | undefined }) {
  if (shown >= total) return null;
  return (
    <p class="rest">
      <span>{formatCount(shown)} of {formatCount(total)} {noun} are shown.</span>{" "}
      {onMore ? <button type="button" onClick={onMore}>Show more {noun}</button> : <span>Search to find the others.</span>}
    </p>
  );
}
