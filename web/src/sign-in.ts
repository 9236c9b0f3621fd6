/** The sign-in form: exchanges a key for a session, and then loads the page. */

import { Problem, signIn } from "./api.ts";

const form = document.querySelector<HTMLFormElement>("#sign-in");
const input = document.querySelector<HTMLInputElement>("#key");
const problem = document.querySelector<HTMLElement>("#problem");
const button = form?.querySelector("button");

form?.addEventListener("submit", (event) => {
  event.preventDefault();
  if (input && problem && button) void submit(input, problem, button);
});

async function submit(input: HTMLInputElement, problem: HTMLElement, button: HTMLButtonElement): Promise<void> {
  button.disabled = true;
  problem.textContent = "";
  try {
    await signIn(input.value.trim());
    // The form is shown at the address of the requested page, so reload that address.
    location.replace(location.pathname === "/sign-in" ? "/" : location.pathname + location.search);
  } catch (error) {
    problem.textContent = messageOf(error);
    button.disabled = false;
    input.setAttribute("aria-invalid", "true");
    input.select();
  }
}

function messageOf(error: unknown): string {
  if (error instanceof Problem && error.status === 401) return "This key is not valid. Check it, or ask an administrator for another.";
  return error instanceof Error ? error.message : String(error);
}
