import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";

/** The repository. */
export const root: string = resolve(import.meta.dirname, "../../../..");
const sources = "packages/sluice/src";

/** Code that a reader may copy: from a docstring, or from a page. */
export interface Example {
  /** Below the root. */
  readonly file: string;
  /** Of the first line of the code. */
  readonly line: number;
  readonly code: string;
  /** The export whose docstring it stands in. */
  readonly symbol?: string | undefined;
}

/** Every `@example` of the library. */
export function examplesOfDocstrings(): Example[] {
  return readdirSync(join(root, sources), { recursive: true, encoding: "utf8" })
    .map((name) => `${sources}/${name.replaceAll("\\", "/")}`)
    .filter((file) => /(?<!\.test|\.gen)\.ts$/.test(file))
    .toSorted()
    .flatMap(examplesOfSource);
}

/** Every page for users. */
export function pages(): string[] {
  const folders = ["docs", "packages/sluice", "packages/cli"];
  const found = folders.flatMap((folder) =>
    readdirSync(join(root, folder))
      .filter((name) => name.endsWith(".md"))
      .map((name) => `${folder}/${name}`),
  );
  return ["README.md", ...found.toSorted()];
}

/** Files in the repository that a page links to, and that are not there. */
export function deadLinksOf(page: string): string[] {
  const links = Array.from(read(page).matchAll(/\]\(([^)#\s]+)/g), ([, link]) => link as string);
  return links.filter((link) => !/^[a-z]+:/.test(link) && !existsSync(join(root, dirname(page), link)));
}

/** The blocks of TypeScript of every page: those of one page are read from the top. */
export function examplesOfPages(): Example[][] {
  return pages().map(examplesOfPage);
}

function examplesOfPage(file: string): Example[] {
  const text = read(file);
  for (const { 0: fence, index } of text.matchAll(/^.*```(?:ts|typescript|js|javascript)\b.*$/gm)) {
    if (fence !== "```ts")
      throw new Error(`${file}:${lineAt(text, index)}: a block of code begins with \`\`\`ts, and nothing else.`);
  }
  return Array.from(text.matchAll(/^```ts\n(.*?)^```$/gms), ({ 1: code = "", index }) => ({
    file,
    line: lineAt(text, index) + 1,
    code,
  }));
}

function examplesOfSource(file: string): Example[] {
  const text = read(file);
  return Array.from(text.matchAll(/\/\*\*.*?\*\//gs)).flatMap(({ 0: comment, index }) => {
    const code = text.slice(index + comment.length);
    const symbol = /^\s*(?:\/\/.*\s+)*export (?:async )?(?:function|const|class|interface) (\w+)/.exec(code)?.[1];
    return examplesOfComment(comment.split("\n"), file, lineAt(text, index), symbol);
  });
}

function examplesOfComment(
  lines: readonly string[],
  file: string,
  first: number,
  symbol: string | undefined,
): Example[] {
  return lines.flatMap((line, index) => {
    if (!line.includes("@example")) return [];
    if (!/^\s*\* @example$/.test(line)) throw new Error(`${file}:${first + index}: the code stands below @example.`);
    const rest = lines.slice(index + 1);
    const end = rest.findIndex((each) => /^\s*\*(?:\/| @\w)/.test(each));
    // a decorator's own @ would begin a tag, so it is written \@
    const code = rest.slice(0, end).map((each) => each.replace(/^\s*\* ?/, "").replaceAll("\\@", "@"));
    return [{ file, line: first + index + 1, code: `${code.join("\n")}\n`, symbol }];
  });
}

function read(file: string): string {
  return readFileSync(join(root, file), "utf8");
}

function lineAt(text: string, index: number): number {
  return text.slice(0, index).split("\n").length;
}
