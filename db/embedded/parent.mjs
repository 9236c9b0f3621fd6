// A thread that waits for the end of the parent, and kills the process if it has not closed after CLOSE_MS_MAX.

import { Socket } from 'node:net';
import { parentPort } from 'node:worker_threads';

const CLOSE_MS_MAX = 5_000;

const stdin = new Socket({ fd: 0, writable: false });
stdin.on('error', () => {});
stdin.once('close', () => {
  parentPort.postMessage('gone');
  setTimeout(() => process.kill(process.pid, 'SIGKILL'), CLOSE_MS_MAX);
});
stdin.resume();
