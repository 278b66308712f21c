import { addressKeys } from "sluice/http";

/**
 * Makes keys as the HTTP guard of the library does: an address counts however it is written, IPv6 by its first `ipv6Prefix`
 * bits. Whatever is no address stays as it is.
 */
export function addressKeyOf(ipv6Prefix: number): (text: string) => string {
  const keyOf = addressKeys(ipv6Prefix);
  // only what holds a colon can be written in several ways: IPv6, and IPv4 with a port
  return (text) => (text.includes(":") ? (keyOf(text) ?? text) : text);
}
