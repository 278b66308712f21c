/**
 * The fields of a line that holds quotes, by RFC 4180: a field in quotes may hold delimiters, line ends, and quotes that
 * are doubled. "open" when a quote is never closed. A quote that stands where none may is taken as it is, with its whole
 * field, unless `strict`: then the answer is "stray".
 */
export function splitQuoted(text: string, delimiter: string, strict: boolean): string[] | "open" | "stray" {
  const fields: string[] = [];
  let from = 0;
  for (;;) {
    let end = text.indexOf(delimiter, from);
    if (end < 0) end = text.length;
    let field: string | undefined;
    if (text[from] === '"') {
      let closing = text.indexOf('"', from + 1);
      while (closing >= 0 && text[closing + 1] === '"') closing = text.indexOf('"', closing + 2);
      if (closing < 0) return "open";
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
