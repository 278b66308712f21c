/** What `AsyncLocalStorage` holds for a caller, to run something in later. */
export interface Context {
  runInAsyncScope<T>(task: () => T): T;
}

interface AsyncHooks {
  readonly AsyncResource: new (type: string, options: { readonly requireManualDestroy: boolean }) => Context;
}

const { process } = globalThis as {
  process?: { getBuiltinModule?: (name: "node:async_hooks") => AsyncHooks | undefined };
};
// asked for, not imported: where the platform has none, there is no context to lose
const AsyncResource = process?.getBuiltinModule?.("node:async_hooks")?.AsyncResource;

/** The context of whoever calls. A resource of one's own costs a tenth of `AsyncLocalStorage.snapshot()`. */
export function contextOfNow(): Context | undefined {
  return AsyncResource && new AsyncResource("sluice.serial", { requireManualDestroy: true });
}
