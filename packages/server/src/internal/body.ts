import { BadRequest } from "@effect-tenovos/core/TenovosApi"
import * as ByteSize from "effect/ByteSize"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as HttpIncomingMessage from "effect/http/HttpIncomingMessage"
import type * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Schema from "effect/Schema"

// Bodies are read here and not by `HttpApiBuilder`, which answers 415 with plain text, takes a missing content type for
// JSON, and has no limit of size.

const maxBytes = 64 * 1024

/** Sent as a defect, since the contract has no such answer. */
export const tooLong: HttpServerResponse.HttpServerResponse = HttpServerResponse.jsonUnsafe(
  { message: "Request Too Long" },
  { status: 413, headers: { connection: "close" } }
)

const decode = Schema.decodeUnknownEffect(Schema.fromJsonString(Schema.Unknown))

/** The text of a body. One that is too long is answered at once. */
export const readText = Effect.fnUntraced(function*(request: HttpServerRequest.HttpServerRequest) {
  if (Number(request.headers["content-length"]) > maxBytes) return yield* Effect.die(tooLong)
  const text = yield* Effect.orDie(request.text).pipe(
    Effect.provideService(HttpIncomingMessage.MaxBodySize, ByteSize.bytes(maxBytes))
  )
  // Without a socket nothing has counted the bytes yet.
  if (Buffer.byteLength(text) > maxBytes) return yield* Effect.die(tooLong)
  return text
})

/** Set by whoever had to read the body before the application: it can be read only once. */
export const ReadAhead: Context.Reference<Effect.Effect<string> | undefined> = Context.Reference<
  Effect.Effect<string> | undefined
>("@effect-tenovos/server/internal/body/ReadAhead", { defaultValue: () => undefined })

/** Whether the body says that it is JSON. */
export const isJson = (request: HttpServerRequest.HttpServerRequest): boolean => {
  const [mediaType = ""] = (request.headers["content-type"] ?? "").split(";")
  return mediaType.trim().toLowerCase() === "application/json"
}

/** The JSON of a body. What isn't JSON, or doesn't say so, is refused with this message. */
export const readJson = Effect.fnUntraced(
  function*(request: HttpServerRequest.HttpServerRequest, message: string) {
    if (!isJson(request)) return yield* new BadRequest({ message })
    const text = yield* (yield* ReadAhead) ?? readText(request)
    return yield* Effect.mapError(decode(text), () => new BadRequest({ message }))
  }
)
