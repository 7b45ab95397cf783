import { TestTenovos } from "@effect-tenovos/testing"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { HttpClient, HttpClientRequest } from "effect/http"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"

// A client as it is written by hand, which gets everything wrong unless it is told to do better.

interface Options {
  /** Whether it signs in anew: never, when its own clock says so, or after an hour, if it can. */
  readonly renews?: "never" | "by its own clock" | "if it can"
  /** What it tells of an answer to a sign-in. */
  readonly tells?: (body: string) => Effect.Effect<void>
}

const { apiKey, endpointUrl, password, username } = TestTenovos.credentials

const key = { "x-api-key": Redacted.value(apiKey) }

const Answer = Schema.Struct({
  session: Schema.Struct({ accessToken: Schema.String, authorization: Schema.String, expireEpoch: Schema.Finite })
})

const decode = Schema.decodeUnknownEffect(Schema.fromJsonString(Answer))

export class Plain extends Context.Service<Plain, {
  /** The status of a request to the API. */
  readonly call: Effect.Effect<number, unknown>
}>()("Plain") {}

export const layer = (options: Options = {}): Layer.Layer<Plain, never, HttpClient.HttpClient> =>
  Layer.effect(
    Plain,
    Effect.map(HttpClient.HttpClient, (http) => {
      let held: typeof Answer.Type["session"] & { readonly since: number } | undefined

      const signIn = Effect.gen(function*() {
        const response = yield* HttpClientRequest.post(`${endpointUrl}/auth/token`, { headers: key }).pipe(
          HttpClientRequest.bodyJsonUnsafe({ username, password: Redacted.value(password) }),
          http.execute
        )
        const text = yield* response.text
        yield* options.tells?.(text) ?? Effect.void
        const { session } = yield* decode(text)
        return held = { ...session, since: yield* Clock.currentTimeMillis }
      })

      const renewed = (old: NonNullable<typeof held>, now: number) => {
        switch (options.renews) {
          case "by its own clock":
            return now < old.expireEpoch ? Effect.succeed(old) : signIn
          case "if it can":
            return now < old.since + 3_600_000 ? Effect.succeed(old) : Effect.orElseSucceed(signIn, () => old)
          default:
            return Effect.succeed(old)
        }
      }

      const call = Effect.gen(function*() {
        const { accessToken: accesstoken, authorization } = held === undefined
          ? yield* signIn
          : yield* renewed(held, yield* Clock.currentTimeMillis)
        const response = yield* http.get(`${endpointUrl}/security/template`, {
          headers: { ...key, accesstoken, authorization }
        })
        return response.status
      })

      return Plain.of({ call })
    })
  )

export const call = Plain.use(({ call }) => call)
