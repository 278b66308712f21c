import { configureGlobal } from "fast-check";

/** A mutant is dead when the first case fails: to look for a smaller one took most of a run. */
configureGlobal({ endOnFailure: true });
