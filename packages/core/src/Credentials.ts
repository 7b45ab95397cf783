/**
 * Who signs in, and where.
 *
 * @since 0.1.0
 */
import * as Config from "effect/Config"
import type * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"

/**
 * @category models
 * @since 0.1.0
 */
export interface Credentials {
  /** Base URL of the API to sign in at. */
  readonly endpointUrl: string
  /** The customer's API key, sent with every request. */
  readonly apiKey: Redacted.Redacted
  readonly username: string
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
 * @category options
 * @since 0.1.0
 */
export interface Options extends Omit<Credentials, "endpointUrl"> {
  /** Base URL of the API to sign in at. Defaults to {@link productionUrl}. */
  readonly endpointUrl?: string | URL | undefined
}

/**
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options): Credentials => ({
  endpointUrl: String(options.endpointUrl ?? productionUrl),
  apiKey: options.apiKey,
  username: options.username,
  password: options.password
})

const NonEmptySecret = Schema.RedactedFromValue(Schema.NonEmptyString)

const HttpUrl = Schema.URLFromString.check(
  Schema.makeFilter((url) => url.protocol === "https:" || url.protocol === "http:" || "Expected an http or https URL")
)

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
export const config: Config.Config<Credentials> = Config.map(
  Config.all({
    apiKey: Config.schema(NonEmptySecret, "TENOVOS_API_KEY"),
    username: Config.NonEmptyString("TENOVOS_USERNAME"),
    password: Config.schema(NonEmptySecret, "TENOVOS_PASSWORD"),
    endpointUrl: Config.schema(HttpUrl, "TENOVOS_ENDPOINT_URL").pipe(Config.withDefault(productionUrl))
  }),
  make
)
