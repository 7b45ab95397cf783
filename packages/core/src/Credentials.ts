/**
 * Who signs in, and where.
 *
 * @since 0.1.0
 */
import * as Config from "effect/Config"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { isEndpoint } from "./internal/endpoint.ts"
import { isHeaderValue } from "./internal/secrecy.ts"

/**
 * Who signs in, and where.
 *
 * @category models
 * @since 0.1.0
 */
export interface Credentials {
  /** Base URL of the API to sign in at. */
  readonly endpointUrl: string
  /** The customer's API key, sent with every request. */
  readonly apiKey: Redacted.Redacted
  /** The name that the user signs in with. */
  readonly username: string
  /** Sent when a session has to be made anew, and never kept with one. */
  readonly password: Redacted.Redacted
}

/**
 * The base URL of the production API.
 *
 * @category constructors
 * @since 0.1.0
 */
export const productionUrl = "https://api.tenovos.io/v1"

/**
 * Credentials as a program gives them.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options extends Omit<Credentials, "endpointUrl"> {
  /** Base URL of the API to sign in at. Defaults to {@link productionUrl}. */
  readonly endpointUrl?: string | URL | undefined
}

/**
 * Credentials of their options. They are not looked at: {@link defect} says what is wrong with them.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options): Credentials => ({
  endpointUrl: String(options.endpointUrl ?? productionUrl),
  apiKey: options.apiKey,
  username: options.username,
  password: options.password
})

/**
 * Why these credentials can't even be sent, if they can't. The answer holds no part of them.
 *
 * @category combinators
 * @since 0.1.0
 */
export const defect = (credentials: Credentials): Option.Option<string> =>
  !isEndpoint(credentials.endpointUrl)
    ? Option.some("The endpoint URL is no absolute http or https URL without credentials, query and fragment")
    : !isHeaderValue(Redacted.value(credentials.apiKey))
    ? Option.some("The API key is empty, or holds characters that no header can carry")
    : Option.none()

/**
 * Reads the credentials from the environment.
 *
 * | variable | meaning | default |
 * |---|---|---|
 * | `TENOVOS_API_KEY` | the customer's API key | |
 * | `TENOVOS_USERNAME` | the user's name | |
 * | `TENOVOS_PASSWORD` | the user's password | |
 * | `TENOVOS_ENDPOINT_URL` | base URL of the API | `https://api.tenovos.io/v1` |
 *
 * @category config
 * @since 0.1.0
 */
export const config: Config.Config<Credentials> = /* @__PURE__ */ makeConfig()

// A function, so that a bundle leaves out what a program does not use.
function makeConfig(): Config.Config<Credentials> {
  const Secret = Schema.RedactedFromValue(Schema.NonEmptyString)
  const ApiKey = Secret.check(
    Schema.makeFilter((key) => isHeaderValue(Redacted.value(key)) || "Expected a header value")
  )
  const HttpUrl = Schema.String.check(
    Schema.makeFilter((text) =>
      isEndpoint(text) || "Expected an absolute http or https URL without credentials, query and fragment"
    )
  )
  return Config.map(
    Config.all({
      apiKey: Config.schema(ApiKey, "TENOVOS_API_KEY"),
      username: Config.NonEmptyString("TENOVOS_USERNAME"),
      password: Config.schema(Secret, "TENOVOS_PASSWORD"),
      endpointUrl: Config.schema(HttpUrl, "TENOVOS_ENDPOINT_URL").pipe(Config.withDefault(productionUrl))
    }),
    make
  )
}
