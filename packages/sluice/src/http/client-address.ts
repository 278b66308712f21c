import ipaddr from "ipaddr.js";
import { wholeNumber } from "../core/validate.js";

/** Addresses remembered with their key: parsing costs more than deciding. */
const remembered = 1024;

/**
 * Turns client addresses into keys: one per client, however the address is written. Decided by bits, never by spelling:
 *
 * - IPv4 in any IPv6 dress (mapped `::ffff:0:0/96`, RFC 4291; NAT64 `64:ff9b::/96`, RFC 6052; 6to4 `2002::/16`, RFC 3056)
 *   is that IPv4 address;
 * - other IPv6 addresses count by their prefix (default /64: what one customer has), without zone;
 * - ports and brackets (`1.2.3.4:5678`, `[2001:db8::1]:443`) are dropped.
 *
 * Keys are written as RFC 5952 has it. The function returns undefined for what is no address.
 *
 * @throws TypeError or RangeError with code `ERR_INVALID_ARGUMENT` for a prefix that is not 32 to 128.
 * @example
 * const keyOf = addressKeys()
 * keyOf("2001:db8:1:2:3::4") // "2001:db8:1:2::/64"
 */
export function addressKeys(ipv6Prefix: number = 64): (address: string | undefined) => string | undefined {
  return addressKeysOfKind("", ipv6Prefix);
}

/** The same, with a text before each: the same string each time, so that a limiter hashes and compares it fast. */
export function addressKeysOfKind(
  kind: string,
  ipv6Prefix: number,
): (address: string | undefined) => string | undefined {
  wholeNumber(ipv6Prefix, "ipv6Prefix", "ERR_INVALID_ARGUMENT", 32, 128);
  const known = new Map<string, string>();
  return (address) => {
    if (address === undefined) return undefined;
    const found = known.get(address);
    if (found !== undefined) return found;
    const text = canonical(address, ipv6Prefix);
    if (text === undefined) return undefined;
    const key = kind + text;
    if (known.size >= remembered) known.clear();
    known.set(address, key);
    return key;
  };
}

/** The longest spelling of an address with brackets, zone and port; longer text is not worth parsing. */
const longestSpelling = 128;

function canonical(text: string, ipv6Prefix: number): string | undefined {
  if (text.length > longestSpelling) return undefined;
  const bare = withoutPort(text.trim());
  if (ipaddr.IPv4.isValidFourPartDecimal(bare)) return bare;
  const zoneless = bare.replace(/%.*$/s, "");
  if (!ipaddr.IPv6.isValid(zoneless)) return undefined;
  const address = ipaddr.IPv6.parse(zoneless);
  const inner = innerIpv4(address.toByteArray());
  if (inner !== undefined) return inner;
  const network = ipaddr.IPv6.networkAddressFromCIDR(`${address.toNormalizedString()}/${ipv6Prefix}`);
  return ipv6Prefix === 128 ? network.toRFC5952String() : `${network.toRFC5952String()}/${ipv6Prefix}`;
}

function withoutPort(text: string): string {
  const [, bracketed, dotted] = /^(?:\[([^\]]*)\](?::\d{1,5})?|(\d+\.\d+\.\d+\.\d+):\d{1,5})$/.exec(text) ?? [];
  return bracketed ?? dotted ?? text;
}

/** Where the address of an IPv4 client lies within its IPv6 address. */
const dresses: readonly { readonly prefix: readonly number[]; readonly at: number }[] = [
  { prefix: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff], at: 12 },
  { prefix: [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0], at: 12 },
  { prefix: [0x20, 0x02], at: 2 },
];

function innerIpv4(bytes: readonly number[]): string | undefined {
  const dress = dresses.find(({ prefix }) => prefix.every((byte, index) => bytes[index] === byte));
  return dress === undefined ? undefined : bytes.slice(dress.at, dress.at + 4).join(".");
}
