import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { ServeError } from "effect/http/HttpServerError"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import { createServer, type IncomingMessage, type Server, type ServerResponse, STATUS_CODES } from "node:http"
import * as net from "node:net"
import type { Duplex } from "node:stream"

// Node's server answers some bad requests itself, with an empty body, before any application sees them.

/** A server that says in JSON also what Node refuses by itself, and waits for nobody for long. */
export const make = (): Server => {
  const server = createServer({
    // Node's own refusal has no body; `requireHost` has.
    requireHostHeader: false,
    headersTimeout: 10_000,
    requestTimeout: 30_000,
    connectionsCheckingInterval: 1_000
  })
  const unanswered = new WeakMap<Duplex, Set<ServerResponse<IncomingMessage>>>()
  server.on("request", (request, response) => {
    const { socket } = request
    const responses = unanswered.get(socket) ?? new Set()
    unanswered.set(socket, responses.add(response))
    response.on("finish", () => responses.delete(response))
  })
  /** Whether a refusal would be taken for, or stand in, the answer to another request than the one it is meant for. */
  const isMistakable = (socket: Duplex): boolean =>
    Array.from(unanswered.get(socket) ?? []).some(({ headersSent, req }) => headersSent || req.complete)
  server.on("clientError", (error: NodeJS.ErrnoException, socket) => {
    if (isMistakable(socket) || !socket.writable || error.code === "ECONNRESET") socket.destroy()
    else refuse(socket, statusOf(error.code))
  })
  server.on("connect", (_request, socket) => isMistakable(socket) ? socket.destroy() : refuse(socket, 400))
  server.on("checkExpectation", ({ socket }) => isMistakable(socket) ? socket.destroy() : refuse(socket, 417))
  return server
}

const statusOf = (code: string | undefined): number => {
  switch (code) {
    case "HPE_HEADER_OVERFLOW":
      return 431
    case "ERR_HTTP_REQUEST_TIMEOUT":
      return 408
    default:
      return 400
  }
}

const refuse = (socket: Duplex, status: number): void => {
  const reason = STATUS_CODES[status]
  const body = JSON.stringify({ message: reason })
  socket.end(
    `HTTP/1.1 ${status} ${reason}\r\nConnection: close\r\nContent-Type: application/json\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
  )
}

/**
 * What to listen on. Node looks up even an address, and compiles for that an expression of IPv6 addresses that takes a
 * twentieth of a start. A socket that is bound already leaves nothing to look up; Node has them since version 26.
 */
export const bind = (host: string, port: number): Effect.Effect<net.ListenOptions, ServeError> =>
  net.isIPv4(host) && "BoundSocket" in net
    ? Effect.try({
      try: () => ({ handle: new net.BoundSocket({ host, port }) }),
      catch: (cause) => new ServeError({ cause })
    })
    : Effect.succeed({ host, port })

/** RFC 9112, section 3.2: a request without `Host` is answered with 400. */
export const requireHost = <E, R>(
  app: Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>
): Effect.Effect<HttpServerResponse.HttpServerResponse, E, R | HttpServerRequest.HttpServerRequest> =>
  Effect.flatMap(
    HttpServerRequest.HttpServerRequest,
    (request) =>
      request.headers["host"] === undefined
        ? Effect.succeed(HttpServerResponse.jsonUnsafe({ message: "Bad Request" }, { status: 400 }))
        : app
  )

/** Lets the requests under way finish for a second, then ends what is left: idle, slow or silent. */
export const close = (server: Server): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    server.close(() => resume(Effect.void))
    server.closeIdleConnections()
  }).pipe(
    Effect.timeoutOption("1 second"),
    // A test clock doesn't move while a scope closes.
    Effect.provideService(Clock.Clock, Clock.Clock.defaultValue()),
    Effect.andThen(Effect.sync(() => server.closeAllConnections()))
  )
