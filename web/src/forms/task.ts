/** Something that a person has asked for: whether it still goes on, and what went wrong. */

import { type Signal, useSignal } from "@preact/signals";

export interface Task {
  isBusy: Signal<boolean>;
  problem: Signal<string>;
  /** Do it; tells whether it went well. */
  run(work: () => Promise<void>): Promise<boolean>;
}

export function useTask(): Task {
  const isBusy = useSignal(false);
  const problem = useSignal("");

  async function run(work: () => Promise<void>): Promise<boolean> {
    isBusy.value = true;
    problem.value = "";
    try {
      await work();
      return true;
    } catch (error) {
      problem.value = error instanceof Error ? error.message : String(error);
      return false;
    } finally {
      isBusy.value = false;
    }
  }

  return { isBusy, problem, run };
}
