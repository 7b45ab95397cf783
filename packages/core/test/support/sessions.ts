import { Session } from "@effect-tenovos/core/Session"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Redacted from "effect/Redacted"

/** The session of a generation, with an hour from the beginning of time. */
export const session = (generation: number, accessToken = `access-${generation}`): Session =>
  new Session({
    endpointUrl: "https://api.example/v1",
    accessToken: Redacted.make(accessToken),
    refreshToken: Redacted.make(`refresh-${generation}`),
    issuedAt: DateTime.makeUnsafe(0),
    expiresAt: DateTime.makeUnsafe(3_600_000),
    authenticatedAt: DateTime.makeUnsafe(0),
    clockOffset: Duration.zero,
    generation
  })
