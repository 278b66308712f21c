/** A server that can be started (`argv`), or one that runs already (`url`). */
export interface Found {
  readonly label: string;
  readonly url?: string;
  readonly argv?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}
export interface Server {
  /** `redis://127.0.0.1:PORT` */
  readonly url: string;
  readonly label: string;
  readonly port: number;
  /** Undefined when it ran already. */
  readonly pid?: number;
  readonly stop: () => Promise<void>;
}
export function findServer(): Found;
export function findKind(kind: "redis" | "valkey", specifier?: string): Found;
export function freePort(): Promise<number>;
export function startServer(found?: Found, extra?: readonly string[], port?: number): Promise<Server>;
export function get(specifier: string): string;
export const cache: string;
