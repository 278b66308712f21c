export { micros } from "../core/duration.js";
export {
  latestMoment,
  type PolicyReport,
  type Simulation,
  type SimulationOptions,
  type SimulationReport,
  simulate,
  simulation,
  type TimedRequest,
} from "./simulation.js";
