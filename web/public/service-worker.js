/** Shows pushed messages, even if no page is open, and acknowledges alerts without opening one.
 *
 * A message is JSON: title, text, tag, urgent, links (open, acknowledge) and labels; see
 * docs/reference/notifications/webpush.md. This file is served unchanged and imports nothing.
 */

/** @type {ServiceWorkerGlobalScope} */
const worker = /** @type {any} */ (self);

/**
 * @typedef {{ acknowledge: string, open: string, acknowledged: string, failed: string }} Labels
 * @typedef {{
 *   title: string, text: string, tag: string, urgent: boolean,
 *   links: { open?: string, acknowledge?: string }, labels: Labels
 * }} Message
 */

/** @type {Message} Shown if a message cannot be decoded, because browsers require a notification for each push. */
const UNREADABLE = {
  title: "Vigia",
  text: "",
  tag: "vigia",
  urgent: false,
  links: { open: "/" },
  labels: { acknowledge: "", open: "", acknowledged: "", failed: "" },
};
const PATIENCE_MS = 10_000;

worker.addEventListener("install", () => void worker.skipWaiting());
worker.addEventListener("activate", (event) => event.waitUntil(worker.clients.claim()));
worker.addEventListener("push", (event) => event.waitUntil(show(read(event.data))));
worker.addEventListener("notificationclick", (event) => event.waitUntil(act(event.action, event.notification)));

/** @param {PushMessageData | null} data */
function read(data) {
  try {
    return { ...UNREADABLE, ...data?.json() };
  } catch {
    return UNREADABLE;
  }
}

/** @param {Message} message */
async function show(message) {
  const { title, text, tag, urgent, links, labels } = message;
  const actions = [
    ...(links.acknowledge ? [{ action: "acknowledge", title: labels.acknowledge }] : []),
    ...(links.open ? [{ action: "open", title: labels.open }] : []),
  ].filter((action) => action.title);
  // A later message replaces the earlier one with the same tag. `renotify` makes it alert again.
  const alerting = { renotify: true, requireInteraction: urgent, timestamp: Date.now() };
  const options = { body: text, tag, data: message, actions, ...alerting };
  await worker.registration.showNotification(title, options);
}

/**
 * @param {string} action
 * @param {Notification} notification
 */
async function act(action, notification) {
  /** @type {Message} */
  const message = { ...UNREADABLE, ...notification.data };
  // The result replaces this notification. Do not close it, because that could close the result.
  if (action === "acknowledge" && message.links.acknowledge) return acknowledge(message);
  notification.close();
  return open(message.links.open ?? "/");
}

/** @param {Message} message */
async function acknowledge(message) {
  const isDone = await posted(own(message.links.acknowledge ?? "/"));
  const { acknowledge: _, ...left } = message.links;
  const text = isDone ? message.labels.acknowledged : message.labels.failed;
  await show({ ...message, text, urgent: !isDone, links: isDone ? left : message.links });
}

/** @param {string} url */
async function posted(url) {
  try {
    const signal = AbortSignal.timeout(PATIENCE_MS);
    const answer = await fetch(url, { method: "POST", credentials: "omit", signal });
    return answer.ok;
  } catch {
    return false;
  }
}

/** @param {string} link */
async function open(link) {
  const url = own(link);
  const pages = await worker.clients.matchAll({ type: "window", includeUncontrolled: true });
  // Do not navigate another page away, because the user may be typing there.
  const page = pages.find((one) => one.url === url);
  await (page ? page.focus() : worker.clients.openWindow(url));
}

/**
 * Returns the URL with the origin of this service. Links contain the public address, but this
 * browser may use another one. It also prevents a message from leading to another site.
 * @param {string} link
 */
function own(link) {
  const { origin } = worker.location;
  const url = new URL(origin);
  if (URL.canParse(link, origin)) {
    const { pathname, search, hash } = new URL(link, origin);
    Object.assign(url, { pathname, search, hash });
  }
  return url.href;
}
