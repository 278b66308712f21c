import type { ServerResponse } from "node:http";
import type { Guard, Outcome } from "./guard.js";
import type { FieldAccess } from "./headers.js";

/** What is used of Node's response, of HTTP/1.1 and HTTP/2. */
export type NodeResponse = Pick<
  ServerResponse,
  "getHeader" | "setHeader" | "headersSent" | "statusCode" | "end" | "once"
>;

const nodeFields: FieldAccess<Pick<NodeResponse, "getHeader" | "setHeader">> = {
  get: (response, name) => response.getHeader(name),
  set: (response, name, value) => {
    response.setHeader(name, value);
  },
};

/**
 * Carries an outcome out on Node's response; true when the request goes on. What was sent already stays as it is.
 */
export function carryOut<Req>(guard: Guard<Req>, outcome: Outcome, response: NodeResponse): boolean {
  const { refusal } = outcome;
  if (carryFields(guard, outcome, response) && refusal !== undefined) {
    response.statusCode = refusal.status;
    if (refusal.type !== undefined) response.setHeader("Content-Type", refusal.type);
    response.end(refusal.content);
  }
  return refusal === undefined;
}

/** Writes what goes on the response whoever ends it, all but the type of a body; false when it was sent already. */
export function carryFields<Req>(guard: Guard<Req>, outcome: Outcome, response: NodeResponse): boolean {
  const { refusal, settle } = outcome;
  // only a response that was written to its end has a status: a client that went away proves nothing
  if (settle !== undefined) response.once("finish", () => settle(response.statusCode));
  if (response.headersSent) return false;
  if (refusal !== undefined) for (const [name, value] of refusal.fields) response.setHeader(name, value);
  guard.write(outcome, response, nodeFields);
  return true;
}
