import { HttpException, StreamableFile } from "@nestjs/common";
import type { Refusal } from "./guard.js";

const problemType = "application/problem+json";

/**
 * A refusal as an exception of Nest, whose default filter then sends the body as it is. An object that `deny` gave is the
 * exception's response itself, which Nest sends as JSON.
 */
export function refusalException(refusal: Refusal): HttpException {
  const { status, type, decision, body } = refusal;
  const isData = typeof body === "object" && body !== null && type?.startsWith("application/json") === true;
  const exception = new HttpException(isData ? body : new RefusalFile(refusal), status);
  exception.message =
    typeof body === "string"
      ? body
      : status === 429
        ? `The limit of ${decision.limit} is exceeded.`
        : "The limits cannot be checked at the moment.";
  return exception;
}

/**
 * Text, bytes, a problem or nothing, in the one form that both of Nest's platforms send unchanged, with a type of its
 * own: a filter that writes an answer of its own finds no Content-Type there that is not for it. In JSON it is what it
 * holds, and the members of a problem can be read from it.
 */
class RefusalFile extends StreamableFile {
  readonly #type: string | undefined;

  constructor({ type, content = "", body }: Refusal) {
    super(typeof content === "string" ? new TextEncoder().encode(content) : content);
    this.#type = type;
    // out of the way of whoever copies an exception's response into an answer of his own
    for (const name of Object.keys(this)) Object.defineProperty(this, name, { enumerable: false });
    if (type === problemType) Object.assign(this, body);
    Object.defineProperty(this, "toJSON", { value: () => body });
  }

  override getHeaders(): ReturnType<StreamableFile["getHeaders"]> {
    return { ...super.getHeaders(), type: this.#type } as ReturnType<StreamableFile["getHeaders"]>;
  }
}
