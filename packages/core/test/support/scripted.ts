import { TenovosAuth } from "@effect-tenovos/core"
import { ScriptedAuthority } from "@effect-tenovos/testing"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"

// An authority that answers by script, and what its tests ask of it and of the keeper of a session.

export const options: TenovosAuth.Options = {
  endpointUrl: "https://api.example/v1",
  apiKey: Redacted.make("key"),
  username: "ada",
  password: Redacted.make("secret")
}

export const kindOf = (request: ScriptedAuthority.Received) =>
  request.method === "DELETE" ? "expire" : request.body.includes("refreshToken") ? "refresh" : "authorize"

/** An authority in good health: tokens count up, and live for an hour. */
export const healthy: ScriptedAuthority.Script = (request, index) =>
  Effect.map(Clock.currentTimeMillis, (now) =>
    Response.json({
      username: "ada",
      session: request.method === "DELETE"
        ? { accessToken: "" }
        : { accessToken: `access-${index}`, refreshToken: `refresh-${index}`, expireEpoch: now + 3_600_000 }
    }))

export const received = Effect.map(
  ScriptedAuthority.ScriptedAuthority.use((authority) => authority.received),
  (all) => all.map(kindOf)
)

export const session = TenovosAuth.TenovosAuth.use((auth) => auth.session)

/** What runs in the background has come as far as it can without time. */
export const settled = Effect.replicateEffect(Effect.yieldNow, 50, { discard: true })
