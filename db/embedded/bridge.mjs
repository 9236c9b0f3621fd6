// Serves an embedded TimescaleDB on a unix socket: `bridge.mjs <data directory> <socket> <deadline in ms>`, and what
// it may do: `create` a database where there is none; `forget`, of a copy, what was written when the power fails.

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
// Ctrl-C and a stopping service reach every process of the group; the parent decides when to end this one.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => {});
}
process.umask(0o077);

// The end of standard input is the parent's wish, or its death. It is watched from a thread of its own,
// because a query that never ends would keep this one from seeing it.
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

// The first beat says that clients may come, and their absence that a query holds this thread.
process.stdout.on('error', () => {});
process.stdout.write('.');
setInterval(() => {
  // The engine goes on with the files that it holds open, and what it then acknowledges is lost.
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
