/**
 * A strict parser of structured fields (RFC 9651, section 4.2), written from its text for the tests alone: what the
 * library writes with one implementation is read with another. It knows what the RateLimit fields hold (lists and
 * dictionaries of strings, tokens, integers, booleans and byte sequences, with parameters) and refuses everything else.
 */
type BareItem = string | number | boolean | Uint8Array | { readonly token: string };
type Parameters = ReadonlyMap<string, BareItem>;
interface Item {
  readonly value: BareItem;
  readonly parameters: Parameters;
}

class Reader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    // 4.2, step 1: only ASCII
    if (Buffer.byteLength(text) !== text.length) throw new SyntaxError("A field holds what is not ASCII.");
    this.#text = text;
  }

  get ended(): boolean {
    return this.#at >= this.#text.length;
  }

  take(pattern: RegExp): string | undefined {
    const sticky = new RegExp(pattern.source, "y");
    sticky.lastIndex = this.#at;
    const [found] = sticky.exec(this.#text) ?? [];
    if (found !== undefined) this.#at += found.length;
    return found;
  }

  expect(pattern: RegExp, what: string): string {
    const found = this.take(pattern);
    if (found === undefined) throw new SyntaxError(`Expected ${what} at ${this.#at} of ${this.#text}`);
    return found;
  }
}

/** 4.2.3.1 */
function bareItem(reader: Reader): BareItem {
  const text = reader.take(/"(?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*"/);
  if (text !== undefined) return text.slice(1, -1).replace(/\\(["\\])/g, "$1");
  const number = reader.take(/-?\d+(?:\.\d+)?/);
  if (number !== undefined) return numberOf(number);
  const flag = reader.take(/\?[01]/);
  if (flag !== undefined) return flag === "?1";
  const bytes = reader.take(/:[A-Za-z0-9+/]*={0,2}:/);
  if (bytes !== undefined) return new Uint8Array(Buffer.from(bytes.slice(1, -1), "base64"));
  return { token: reader.expect(/[A-Za-z*][!#$%&'*+.^_`|~\w:/-]*/, "an item") };
}

/** 4.2.4: at most 15 digits, or 12 and 3. */
function numberOf(text: string): number {
  const [whole = "", fraction] = text.replace("-", "").split(".");
  const fits = fraction === undefined ? whole.length <= 15 : whole.length <= 12 && fraction.length <= 3;
  if (!fits) throw new SyntaxError(`The number ${text} has too many digits.`);
  return Number(text);
}

const key = /[a-z*][a-z0-9_.*-]*/;

/** 4.2.3.2 */
function parameters(reader: Reader): Parameters {
  const found = new Map<string, BareItem>();
  while (reader.take(/;/) !== undefined) {
    reader.take(/ */);
    const name = reader.expect(key, "the name of a parameter");
    const value = reader.take(/=/) === undefined ? true : bareItem(reader);
    found.delete(name);
    found.set(name, value);
  }
  return found;
}

function item(reader: Reader): Item {
  return { value: bareItem(reader), parameters: parameters(reader) };
}

/** What stands between commas; a comma at the end is an error (4.2.1, 4.2.2). */
function members(field: string, read: (reader: Reader) => void): void {
  const reader = new Reader(field);
  reader.take(/ */);
  while (!reader.ended) {
    read(reader);
    reader.take(/[ \t]*/);
    if (reader.ended) return;
    reader.expect(/,/, "a comma");
    reader.take(/[ \t]*/);
    if (reader.ended) throw new SyntaxError("A field ends with a comma.");
  }
}

/** 4.2.1, without inner lists. */
export function parseList(field: string): readonly Item[] {
  const found: Item[] = [];
  members(field.replace(/ +$/, ""), (reader) => found.push(item(reader)));
  return found;
}

/** 4.2.2, without inner lists. */
export function parseDictionary(field: string): ReadonlyMap<string, Item> {
  const found = new Map<string, Item>();
  members(field.replace(/ +$/, ""), (reader) => {
    const name = reader.expect(key, "a key");
    const value: Item = reader.take(/=/) === undefined ? { value: true, parameters: parameters(reader) } : item(reader);
    found.delete(name);
    found.set(name, value);
  });
  return found;
}
