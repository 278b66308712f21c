/** What a number that stands for a time counts. */
export type TimeUnit = "s" | "ms" | "us" | "ns";

export const timeUnits: readonly TimeUnit[] = ["s", "ms", "us", "ns"];

/** Digits between the unit and the microsecond. */
const digitsToMicros: Readonly<Record<TimeUnit, number>> = { s: 6, ms: 3, us: 0, ns: -3 };

/** As access logs write them. */
export const monthNames: readonly string[] = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");

const months: ReadonlyMap<string, number> = new Map(monthNames.map((name, index) => [name.toLowerCase(), index + 1]));

const iso =
  /^(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d+))?)?)? ?(z|utc|gmt|[+-]\d\d(?::?\d\d)?)?$/i;
const log = /^\[?(\d\d)\/([a-z]{3})\/(\d{4}):(\d\d):(\d\d):(\d\d)(?:[.,](\d+))?(?: ([+-]\d\d:?\d\d))?\]?$/i;
const epoch = /^(\d+)(?:\.(\d+))?$/;

/**
 * Reads times in whole microseconds since 1970; what is finer is cut off, not rounded. Understands ISO 8601 and its
 * relatives ("2023-11-16 18:17:03.9799600", UTC unless it has a zone), the dates of access logs, and numbers: of `unit`,
 * or of the unit that the size of the first number suggests.
 */
export class TimeReader {
  #unit: TimeUnit | undefined;

  constructor(unit?: TimeUnit) {
    this.#unit = unit;
  }

  /** NaN for what is no time. */
  read(text: string): number {
    if (text.includes("-")) return readIso(text);
    if (text.includes("/")) return readLogDate(text);
    return this.#readNumber(text);
  }

  #readNumber(text: string): number {
    const [, whole, fraction = ""] = epoch.exec(text) ?? [];
    if (whole === undefined) return Number.NaN;
    this.#unit ??= unitOf(whole);
    const shift = digitsToMicros[this.#unit];
    return Number(shift < 0 ? whole.slice(0, shift) : whole + fraction.slice(0, shift).padEnd(shift, "0"));
  }
}

/** Seconds up to the year 5138, milliseconds from 1973 on, and so forth. */
function unitOf(whole: string): TimeUnit {
  if (whole.length <= 11) return "s";
  if (whole.length <= 14) return "ms";
  return whole.length <= 17 ? "us" : "ns";
}

function readIso(text: string): number {
  // a date in an access log may have a zone with a minus
  const [matched, year, month, day, hour, minute, second, fraction, zone] = iso.exec(text) ?? [];
  if (matched === undefined) return readLogDate(text);
  return moment(Number(year), Number(month), Number(day), hour, minute, second, fraction, zone);
}

function readLogDate(text: string): number {
  const [matched, day, month = "", year, hour, minute, second, fraction, zone] = log.exec(text) ?? [];
  if (matched === undefined) return Number.NaN;
  return moment(Number(year), months.get(month.toLowerCase()) ?? 0, Number(day), hour, minute, second, fraction, zone);
}

function moment(
  year: number,
  month: number,
  day: number,
  hour = "0",
  minute = "0",
  second = "0",
  fraction = "",
  zone = "Z",
): number {
  // Date.UTC takes the year 99 for 1999
  if (year < 100) return Number.NaN;
  const midnight = Date.UTC(year, month - 1, day);
  const date = new Date(midnight);
  // 60 is a leap second
  const inRange = Number(hour) < 24 && Number(minute) < 60 && Number(second) <= 60;
  if (date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day || !inRange) return Number.NaN;
  const seconds = (Number(hour) * 60 + Number(minute)) * 60 + Number(second) - zoneSeconds(zone);
  return midnight * 1000 + seconds * 1e6 + Number(fraction.slice(0, 6).padEnd(6, "0"));
}

/** Seconds that a zone is ahead of UTC; NaN for what is no zone. */
function zoneSeconds(zone: string): number {
  const [, sign, hours, minutes = "0"] = /^([+-])(\d\d):?(\d\d)?$/.exec(zone) ?? [];
  if (hours === undefined) return 0;
  if (Number(hours) > 23 || Number(minutes) > 59) return Number.NaN;
  return (sign === "-" ? -1 : 1) * (Number(hours) * 60 + Number(minutes)) * 60;
}
