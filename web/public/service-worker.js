/** Shows what Vigia pushes, also while no page is open, and acknowledges without opening one.
 *
 * A message is JSON: title, text, tag, urgent, links (open, acknowledge) and labels; see
 * docs/reference/notifications/webpush.md. This file is served as it is, and imports nothing.
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

/** @type {Message} What is shown of a message that cannot be read: browsers want to see something. */
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
  // A later message takes the place of the earlier one with the same tag, and is heard as well.
  const heard = { renotify: true, requireInteraction: urgent, timestamp: Date.now() };
  const options = { body: text, tag, data: message, actions, ...heard };
  await worker.registration.showNotification(title, options);
}

/**
 * @param {string} action
 * @param {Notification} notification
 */
async function act(action, notification) {
  /** @type {Message} */
  const message = { ...UNREADABLE, ...notification.data };
  // What came of it takes the place of the message: closed now, it might close what replaced it.
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
  // Another page stays as it is: someone may be writing there.
  const page = pages.find((one) => one.url === url);
  await (page ? page.focus() : worker.clients.openWindow(url));
}

/**
 * Return the address at this service. Links are made of the public address, and this browser may
 * know the service by another; a message never leads anywhere else.
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
