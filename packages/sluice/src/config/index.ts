export { configFromEnv, policyFromConfig, type RateLimitConfig } from "./config.js";
export { limiterFromConfig } from "./limiter.js";
