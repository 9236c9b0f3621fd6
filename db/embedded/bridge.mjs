// Serves an embedded TimescaleDB on a Unix socket: `bridge.mjs <data directory> <socket> <deadline in ms> [options]`.
// `create` allows it to create a missing database. `forget` disables syncing to the disk, for temporary copies.

import fs from 'node:fs';
import net from 'node:net';
import { Worker } from 'node:worker_threads';

import { Connection, greet } from './connection.mjs';
import { openEngine, watch } from './engine.mjs';
import { die, Session } from './session.mjs';

const CLIENTS_MAX = 100;
const BEATS_PER_DEADLINE = 6;

const [dataDir, path, deadline, ...allowed] = process.argv.slice(2);
const deadlineMs = Number(deadline);

process.on('uncaughtException', die);
// Ctrl-C and a service stop signal every process of the group. The parent decides when this process ends.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => {});
}
process.umask(0o077);

// The parent closes standard input to end this process; its death closes it too. A separate thread watches it,
// because a query that never ends blocks this thread.
const parent = new Worker(new URL('parent.mjs', import.meta.url));
const parentGone = new Promise((resolve) => parent.once('message', resolve));

const mayCreate = allowed.includes('create');
const pg = await openEngine(dataDir, { mayCreate, mayForget: allowed.includes('forget') }).catch(die);
const checkFiles = watch(dataDir);
const session = new Session(pg);
const greeting = await greet(pg);
const sockets = new Set();

const server = net.createServer((socket) => {
  sockets.add(socket);
  socket.once('close', () => sockets.delete(socket));
  new Connection(socket, session, { greeting, silenceMsMax: deadlineMs }).serve();
});
server.maxConnections = CLIENTS_MAX;
listen();

// The first heartbeat tells the parent that clients can connect. Missing ones tell that a query blocks this thread.
process.stdout.on('error', () => {});
process.stdout.write('.');
setInterval(() => {
  // If the directory was deleted, the engine would continue with its open files, and lose acknowledged writes.
  checkFiles();
  process.stdout.write('.');
}, deadlineMs / BEATS_PER_DEADLINE);

await parentGone;
server.close();
sockets.forEach((socket) => socket.destroy());
await session.close();
process.exit(0);

function listen() {
  fs.rmSync(path, { force: true });
  process.umask(0o177);
  server.listen(path);
  process.umask(0o077);
}
