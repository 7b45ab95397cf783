import type { AuthError } from "@effect-tenovos/core/AuthError"
import * as Credentials from "@effect-tenovos/core/Credentials"
import * as RefreshPolicy from "@effect-tenovos/core/RefreshPolicy"
import * as TenovosAuth from "@effect-tenovos/core/TenovosAuth"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import { type Account, placeOf } from "../Account.ts"
import { type CommandError, fromAuthError, usage } from "../CommandError.ts"

/**
 * When commands renew, and how often they try: in the foreground alone, and for seconds rather than minutes, as somebody
 * waits who can start them again.
 */
const policy: RefreshPolicy.RefreshPolicy = RefreshPolicy.serverless.pipe(
  RefreshPolicy.withRetry(
    RefreshPolicy.retry.pipe(
      Schedule.upTo({ duration: "4 seconds" }),
      // A folder that can't be read now can't be read in a second.
      Schedule.while(({ input }) => input.reason._tag !== "StoreFailure")
    )
  )
)

/**
 * Keeps the account's session alive. With a user name and a password in the environment it signs in where it must, and
 * otherwise a login has to come before.
 */
export const layer = (account: Account): Layer.Layer<TenovosAuth.TenovosAuth, CommandError> =>
  Layer.unwrap(Effect.gen(function*() {
    const { store } = yield* placeOf(account)
    const { password, username } = account
    const credentials = {
      endpointUrl: account.endpointUrl,
      apiKey: yield* requireApiKey(account),
      username: Option.getOrElse(username, () => ""),
      password: Option.getOrElse(password, () => Redacted.make(""))
    }
    yield* check(credentials)
    return Option.isSome(username) && Option.isSome(password)
      ? TenovosAuth.layer({ ...credentials, policy }, store)
      : TenovosAuth.layerStored({ apiKey: credentials.apiKey, policy }, store)
  })).pipe(Layer.provide(FetchHttpClient.layer))

/** The API key, which every request needs. */
export const requireApiKey = ({ apiKey, profile }: Account) =>
  Effect.mapError(
    Effect.fromOption(apiKey),
    () => usage(`There is no API key (profile ${profile}). Set TENOVOS_API_KEY, or run \`tenovos login\`.`)
  )

/** Refuses what can't even be sent. */
export const check = (credentials: Credentials.Credentials): Effect.Effect<void, CommandError> =>
  Option.match(Credentials.defect(credentials), {
    onNone: () => Effect.void,
    onSome: (defect) => Effect.fail(usage(`${defect}. Check TENOVOS_ENDPOINT_URL and TENOVOS_API_KEY.`))
  })

/** Uses the account's session. */
export const withAuth = <A, R>(
  account: Account,
  effect: Effect.Effect<A, AuthError, R>
): Effect.Effect<A, CommandError, Exclude<R, TenovosAuth.TenovosAuth>> =>
  effect.pipe(Effect.mapError(fromAuthError), Effect.provide(layer(account)))
