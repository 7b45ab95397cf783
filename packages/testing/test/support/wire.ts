import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { once } from "node:events"
import { connect, createServer, type Socket } from "node:net"

/** The way to a server on this machine, which can be trodden on. */
export interface Wire {
  readonly port: number
  /** From now on no byte passes, in either direction, on connections new and old. None is lost. */
  readonly stall: Effect.Effect<void>
  /** From now on the server hears, and is not heard. */
  readonly mute: Effect.Effect<void>
  /** All that was held up passes, and all that comes; also on new connections. */
  readonly mend: Effect.Effect<void>
  /** Ends every connection there is, and each new one. What was held up is lost. */
  readonly cut: Effect.Effect<void>
}

export const to = Effect.fnUntraced(function*(port: number): Effect.fn.Return<Wire, never, Scope.Scope> {
  const pairs = new Set<readonly [client: Socket, server: Socket]>()
  let passes = { up: true, down: true, cut: false }

  const apply = ([client, server]: readonly [Socket, Socket]) => {
    if (passes.cut) {
      client.destroy()
      server.destroy()
    }
    if (passes.up) client.resume()
    else client.pause()
    if (passes.down) server.resume()
    else server.pause()
  }
  const set = (up: boolean, down: boolean, cut = false) =>
    Effect.sync(() => {
      passes = { up, down, cut }
      pairs.forEach(apply)
    })
  const cut = set(false, false, true)

  const listener = yield* Effect.acquireRelease(
    Effect.promise(async () => {
      const listener = createServer({ pauseOnConnect: true }, (client) => {
        const server = connect(port, "127.0.0.1")
        const pair = [client, server] as const
        pairs.add(pair)
        for (const [from, into] of [[client, server], [server, client]] as const) {
          from.on("data", (bytes) => into.write(bytes))
          from.on("error", () => into.destroy())
          from.on("close", () => {
            into.destroy()
            pairs.delete(pair)
          })
        }
        apply(pair)
      }).listen(0, "127.0.0.1")
      await once(listener, "listening")
      return listener
    }),
    (listener) => Effect.andThen(cut, Effect.promise(() => new Promise((resolve) => listener.close(resolve))))
  )
  const address = listener.address()
  if (address === null || typeof address === "string") return yield* Effect.die(new Error("No port is free"))

  return {
    port: address.port,
    stall: set(false, false),
    mute: set(true, false),
    mend: set(true, true),
    cut
  }
})
