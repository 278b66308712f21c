export type { HeaderFamily } from "../core/headers.js";
export { addressKeys } from "./client-address.js";
export type { ApiKeyOptions, HttpOptions, LimiterSource, RouteHelpers, UserOptions } from "./options.js";
