/** A record whose last field so far is in quotes that were not closed; the quotes inside it are still doubled. */
export interface OpenRecord {
  readonly fields: string[];
  readonly open: string;
}

/**
 * The fields of a line that holds quotes, by RFC 4180: a field in quotes may hold delimiters, line ends, and quotes that
 * are doubled. An open record when a quote is not closed: `continueQuoted` goes on with the next line. A quote that stands
 * where none may is taken as it is, with its whole field, unless `strict`: then the answer is "stray".
 */
export function splitQuoted(text: string, delimiter: string, strict: boolean): string[] | OpenRecord | "stray" {
  const fields: string[] = [];
  let from = 0;
  for (;;) {
    let end = text.indexOf(delimiter, from);
    if (end < 0) end = text.length;
    let field: string | undefined;
    if (text[from] === '"') {
      const closing = closingQuote(text, from + 1);
      if (closing < 0) return { fields, open: text.slice(from + 1) };
      if (closing + 1 === text.length || text[closing + 1] === delimiter) {
        end = closing + 1;
        field = text.slice(from + 1, closing).replaceAll('""', '"');
      } else {
        end = text.indexOf(delimiter, closing);
        if (end < 0) end = text.length;
      }
    }
    if (field === undefined) {
      field = text.slice(from, end);
      if (strict && field.includes('"')) return "stray";
    }
    fields.push(field);
    if (end === text.length) return fields;
    from = end + 1;
  }
}

/** The same record with its next line; looks at that line only. */
export function continueQuoted(
  { fields, open }: OpenRecord,
  line: string,
  delimiter: string,
): string[] | OpenRecord | "stray" {
  const closing = closingQuote(line, 0);
  if (closing < 0) return { fields, open: `${open}\n${line}` };
  fields.push(`${open}\n${line.slice(0, closing)}`.replaceAll('""', '"'));
  if (closing + 1 === line.length) return fields;
  if (line[closing + 1] !== delimiter) return "stray";
  const rest = splitQuoted(line.slice(closing + 2), delimiter, true);
  if (rest === "stray") return rest;
  if (Array.isArray(rest)) return [...fields, ...rest];
  return { fields: [...fields, ...rest.fields], open: rest.open };
}

/** The first quote from here on that is not doubled; -1 when there is none. */
function closingQuote(text: string, from: number): number {
  let closing = text.indexOf('"', from);
  while (closing >= 0 && text[closing + 1] === '"') closing = text.indexOf('"', closing + 2);
  return closing;
}
