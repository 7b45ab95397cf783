import { BadRequest } from "@effect-tenovos/core/TenovosApi"
import * as ByteSize from "effect/ByteSize"
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

/** The JSON of a body. What isn't JSON, or doesn't say so, is refused with this message. */
export const readJson = Effect.fnUntraced(
  function*(request: HttpServerRequest.HttpServerRequest, message: string) {
    const [mediaType = ""] = (request.headers["content-type"] ?? "").split(";")
    if (mediaType.trim().toLowerCase() !== "application/json") return yield* new BadRequest({ message })
    if (Number(request.headers["content-length"]) > maxBytes) return yield* Effect.die(tooLong)
    const text = yield* Effect.orDie(request.text).pipe(
      Effect.provideService(HttpIncomingMessage.MaxBodySize, ByteSize.bytes(maxBytes))
    )
    // Without a socket nothing has counted the bytes yet.
    if (Buffer.byteLength(text) > maxBytes) return yield* Effect.die(tooLong)
    return yield* Effect.mapError(decode(text), () => new BadRequest({ message }))
  }
)
