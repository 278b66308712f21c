export type { StoreUnderTest } from "./bench.js";
export { type Runner, storeConformance } from "./conformance.js";
export { type ManualClock, manualClock } from "./manual-clock.js";
