/** The header: navigation, the state of the connection, and signing out. */

import { signal } from "@preact/signals";
import icon from "./icon.svg";
import { leave, link } from "./store.ts";
import type { Link } from "./connection.ts";

const WORDS: Record<Link, string> = {
  connecting: "Connecting…",
  live: "Live",
  reconnecting: "Reconnecting…",
  "signed out": "Signed out",
  refused: "Not allowed",
};

const PLACES = [["/", "Overview"], ["/on-call", "On call"], ["/settings", "Settings"], ["/api/v1/docs", "API"]] as const;

const problem = signal("");

export function Header() {
  return (
    <header>
      <a class="skip" href="#main">Skip to the content</a>
      <div class="bar">
        <p class="brand"><img src={icon} alt="" width="26" height="26" />Vigia</p>
        <p class="link" role="status" data-link={link}>{WORDS[link.value]}</p>
        <nav aria-label="Vigia">
          {PLACES.map(([path, name]) => (
            <a key={path} href={path} aria-current={location.pathname === path ? "page" : undefined}>{name}</a>
          ))}
        </nav>
        <button type="button" onClick={signOutNow}>Sign out</button>
      </div>
    </header>
  );
}

/** A notice that the session has ended, that the key may not read, or that signing out failed. */
export function Interruption() {
  if (link.value === "signed out") {
    return (
      <p class="interruption" role="alert">
        Your session has ended. The values shown are no longer live. <a href={location.pathname}>Sign in again</a>
      </p>
    );
  }
  if (link.value === "refused") {
    return (
      <p class="interruption" role="alert">
        This key may only write samples. <a href="/sign-in">Sign in with another key</a>
      </p>
    );
  }
  return problem.value && <p class="interruption" role="alert">{problem}</p>;
}

function signOutNow(): void {
  leave().catch((error: Error) => (problem.value = error.message));
}
