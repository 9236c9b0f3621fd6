/** A window above the page, which keeps the focus until it is closed; and the question "really?". */

import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { useTask } from "./task.ts";

export function Dialog({ title, onClose, children }: { title: string; onClose: () => void; children: ComponentChildren }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog ref={dialog} aria-label={title} onClose={onClose}>
      <div class="dialog-head">
        <h2>{title}</h2>
        <button type="button" class="plain" aria-label="Close" onClick={() => dialog.current?.close()}>✕</button>
      </div>
      {children}
    </dialog>
  );
}

export function Confirm({ title, verb, onConfirm, onClose, children }: {
  title: string;
  verb: string;
  onConfirm: () => Promise<void>;
  onClose: () => void;
  children: ComponentChildren;
}) {
  const task = useTask();
  const confirm = async () => {
    if (await task.run(onConfirm)) onClose();
  };
  return (
    <Dialog title={title} onClose={onClose}>
      <div class="fields">
        {children}
        <p class="problem" role="alert">{task.problem}</p>
        <div class="actions">
          <button type="button" class="danger" disabled={task.isBusy} onClick={confirm}>{verb}</button>
          <button type="button" onClick={onClose}>Cancel</button>
        </div>
      </div>
    </Dialog>
  );
}
