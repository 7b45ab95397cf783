import * as Effect from "effect/Effect"
import type * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"

// What a Basic header says on `/auth/token`. It proves nothing by itself: it has to say the same as the body.

interface Basic {
  readonly username: string
  readonly password: Redacted.Redacted
}

/** The gateway's own, as for every operation that lacks what it must have. */
const unauthorized = HttpServerResponse.jsonUnsafe({ message: "Unauthorized" }, { status: 401 })

/**
 * None is there, or none is wanted. Another scheme is no Basic header: programs send the id token bare. `tell` is given
 * the reason of a refusal.
 */
export const read = (
  request: HttpServerRequest.HttpServerRequest,
  wanted: "required" | "accepted" | "ignored",
  tell: (reason: string) => Effect.Effect<void>
): Effect.Effect<Option.Option<Basic>> => {
  const header = request.headers["authorization"] ?? ""
  const isBasic = /^basic(?: |$)/i.test(header)
  if (wanted === "ignored" || (wanted === "accepted" && !isBasic)) return Effect.succeedNone
  const [, encoded] = /^basic +([A-Za-z0-9+/]+={0,2}) *$/i.exec(header) ?? []
  const [, username, password] = /^([^:]*):(.*)$/s.exec(Buffer.from(encoded ?? "", "base64").toString("utf8")) ?? []
  return username === undefined || password === undefined
    ? Effect.andThen(tell(isBasic ? "malformed Basic header" : "no Basic header"), Effect.die(unauthorized))
    : Effect.succeedSome({ username, password: Redacted.make(password) })
}

/** Both come from the same request, so their comparison tells its sender nothing. */
export const isSame = (self: Basic, that: Basic): boolean =>
  self.username === that.username && Redacted.value(self.password) === Redacted.value(that.password)
