/** Requests to the API, with the cookie of the session. */

const TIMEOUT_MS = 15_000;
const BASE = "/api/v1/monitoring";
const SESSION = "/api/v1/auth/session";

/** An error response of the API; the message says what to change. */
export class Problem extends Error {
  readonly status: number;

  constructor(status: number, detail: string) {
    super(detail);
    this.status = status;
  }
}

export async function get<Answer>(path: string, query?: URLSearchParams, signal?: AbortSignal): Promise<Answer> {
  return (await ask("GET", BASE + path + (query ? `?${query}` : ""), undefined, signal)).json() as Promise<Answer>;
}

export async function post<Answer>(path: string, body: object = {}): Promise<Answer> {
  return (await ask("POST", BASE + path, body)).json() as Promise<Answer>;
}

export async function put<Answer>(path: string, body: object): Promise<Answer> {
  return (await ask("PUT", BASE + path, body)).json() as Promise<Answer>;
}

export async function del(path: string): Promise<void> {
  await ask("DELETE", BASE + path);
}

export async function signIn(key: string): Promise<void> {
  await ask("POST", SESSION, { key });
}

export async function signOut(): Promise<void> {
  await ask("DELETE", SESSION);
}

async function ask(method: string, path: string, body?: object, signal?: AbortSignal): Promise<Response> {
  const deadline = AbortSignal.timeout(TIMEOUT_MS);
  const options: RequestInit = { method, signal: signal ? AbortSignal.any([signal, deadline]) : deadline };
  if (body) {
    options.headers = { "Content-Type": "application/json" };
    options.body = JSON.stringify(body);
  }
  const answer = await fetch(path, options).catch((error: unknown) => {
    if (signal?.aborted) throw error;
    throw new Problem(0, "The service does not answer. Try again soon.");
  });
  if (!answer.ok) throw new Problem(answer.status, await detailOf(answer));
  return answer;
}

/** Return the detail of a problem as a sentence. */
async function detailOf(answer: Response): Promise<string> {
  const problem: unknown = await answer.json().catch(() => null);
  const isProblem = typeof problem === "object" && problem !== null && "detail" in problem;
  const text = isProblem ? String(problem.detail) : `The service answered ${answer.status}`;
  return text.charAt(0).toUpperCase() + text.slice(1) + (text.endsWith(".") ? "" : ".");
}
