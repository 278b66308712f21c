/** What code declares outside of any braces, and what later code can import from it. */
export interface Declared {
  readonly all: ReadonlySet<string>;
  readonly exportable: readonly string[];
}

/** Reads formatted code: what begins a line stands outside of any braces. */
export function declaredIn(code: string): Declared {
  const names: string[] = [];
  for (const [, clause = ""] of code.matchAll(/^import (?!type )(.*?) from/gms)) names.push(...namesOf(clause));
  for (const [, pattern = ""] of code.matchAll(/^(?:const|let) +([{[].*?[}\]]) *=/gms)) names.push(...namesOf(pattern));
  for (const [, name = ""] of code.matchAll(/^(?:const|let|(?:async )?function\*?|class) +([\w$]+)/gm))
    names.push(name);
  // these are exported already, mean types only, or are over when their module is
  const others = /^(?:export (?:const|function|class)|import type|interface|type|(?:await )?using) +\{? *([\w$]+)/gm;
  return {
    all: new Set([...names, ...Array.from(code.matchAll(others), ([, name]) => name as string)]),
    exportable: [...new Set(names)],
  };
}

/** Every name that code mentions: an upper bound of what it needs from elsewhere. */
export function mentionedIn(code: string): ReadonlySet<string> {
  const bare = code.replaceAll(/"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|\/\/.*/g, "");
  // not what follows a dot, unless it is one of three
  return new Set(Array.from(bare.matchAll(/(?<![\w$]|(?<!\.\.)\.)[A-Za-z_$][\w$]*/g), ([name]) => name));
}

/** Of `express, { a, b as c, type D }` and `{ a, b: c = 1, ...d }`: the names that stand for values. */
function namesOf(pattern: string): string[] {
  return pattern
    .replaceAll(/[{}[\]]/g, ",")
    .split(",")
    .filter((each) => !/^\s*type\s/.test(each))
    .map((each) => /([\w$]+) *(?:=.*)?$/s.exec(each.trim())?.[1] ?? "")
    .filter((name) => name !== "");
}
