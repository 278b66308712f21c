import { once } from "node:events";
import { connect } from "node:net";

/** Sends text on one connection, and returns all that comes back until `enough`, or until the server closes it. */
export async function rawExchange(
  port: number,
  text: string,
  enough: (received: string) => boolean = () => false,
): Promise<string> {
  const socket = connect(port, "127.0.0.1");
  await once(socket, "connect");
  socket.write(text, "latin1");
  let received = "";
  socket.setEncoding("latin1");
  for await (const chunk of socket) {
    received += chunk;
    if (enough(received)) break;
  }
  socket.destroy();
  return received;
}

/** The status of a GET with a target and header lines that no client would send. */
export async function rawStatus(port: number, target: string, lines: readonly string[] = []): Promise<number> {
  const head = [`GET ${target} HTTP/1.1`, "Host: a", "Connection: close", ...lines, "", ""].join("\r\n");
  return Number((await rawExchange(port, head)).split(" ")[1]);
}
