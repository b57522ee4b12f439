/** One request to the API. It never throws: a line that broke is an answer, too. */

const PATIENCE = 10_000; // milliseconds until a request counts as lost

/**
 * Return `{status, ok, body, retryAfter, isLost}`. `isLost`: no answer came, so it is not known whether it was done.
 * `key` is its Idempotency-Key; `signal` aborts it, and `isAborted` tells so.
 */
export async function ask(method, path, { body, key, signal, patience = PATIENCE } = {}) {
  const headers = { accept: "application/json" };
  if (body !== undefined) headers["content-type"] = "application/json";
  if (key) headers["Idempotency-Key"] = key;
  const token = document.cookie.match(/(?:^|; )csrftoken=([^;]+)/)?.[1];
  if (token && method !== "GET") headers["X-CSRFToken"] = token;
  const limit = AbortSignal.timeout(patience);
  try {
    const answer = await fetch(path, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: signal ? AbortSignal.any([signal, limit]) : limit,
    });
    const read = await answer.json();
    const retryAfter = Number(answer.headers.get("retry-after")) || read?.retryAfter || null;
    return { status: answer.status, ok: answer.ok, body: read, retryAfter, isLost: false };
  } catch {
    return { status: 0, ok: false, body: {}, retryAfter: null, isLost: true, isAborted: Boolean(signal?.aborted) };
  }
}
