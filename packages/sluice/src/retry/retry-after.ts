import { isSluiceError, type MaxWaitExceededError, type RateLimitExceededError } from "../core/errors.js";

/**
 * The default of `retryAfter`: what the failure asks for, in ms, if it says so. A `Retry-After` field (RFC 9110, 10.2.3)
 * is whole seconds or a date; anything else is no field at all.
 */
export function retryAfterOf(error: unknown): number | undefined {
  if (typeof error !== "object" || error === null) return undefined;
  if (isSluiceError(error)) {
    if (error.code === "ERR_RATE_LIMIT_EXCEEDED") return (error as RateLimitExceededError).retryAfter;
    if (error.code === "ERR_MAX_WAIT_EXCEEDED") {
      const { wait, maxWait } = error as MaxWaitExceededError;
      return wait - maxWait;
    }
  }
  const { response, headers } = error as { response?: { headers?: unknown } | null; headers?: unknown };
  return retryAfterIn(response?.headers) ?? retryAfterIn(headers);
}

/** Seconds that a field can ask for: a day. Only this library's own errors can say `Infinity`, that no retry can help. */
const longestField = 86_400;

/** In a `Headers` object, or in a plain one under a name of any case. */
function retryAfterIn(headers: unknown): number | undefined {
  if (typeof headers !== "object" || headers === null) return undefined;
  if (typeof (headers as Headers).get === "function") return parse((headers as Headers).get("retry-after"));
  const field = Object.entries(headers).find(([name]) => name.toLowerCase() === "retry-after");
  return parse(field?.[1]);
}

function parse(value: unknown): number | undefined {
  const text = String(Array.isArray(value) ? value[0] : value).trim();
  if (/^\d+$/.test(text)) return Math.min(Number(text), longestField) * 1000;
  const date = dateOf(text);
  return date === undefined ? undefined : Math.max(0, date - Date.now());
}

const day = "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)";
const month = "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)";
const time = "\\d\\d:\\d\\d:\\d\\d";
/** An HTTP-date (RFC 9110, 5.6.7): the one form to send and the two obsolete ones that a recipient must know. */
const httpDate = new RegExp(
  `^(?:${day}, \\d\\d ${month} \\d{4} ${time} GMT|[A-Z][a-z]+day, \\d\\d-${month}-\\d\\d ${time} GMT|(${day} ${month} [ \\d]\\d ${time} \\d{4}))$`,
);

/** Unix time in ms. */
function dateOf(text: string): number | undefined {
  const match = httpDate.exec(text);
  if (match === null) return undefined;
  const [, asctime] = match;
  const date = Date.parse(asctime === undefined ? text : `${asctime} GMT`);
  return Number.isNaN(date) ? undefined : date;
}
