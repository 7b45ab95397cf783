/**
 * Who a command acts as, and where: the environment first, then what the configuration file remembers of the profile.
 *
 * @since 0.1.0
 */
import * as Credentials from "@effect-tenovos/core/Credentials"
import * as SessionEncryption from "@effect-tenovos/core/SessionEncryption"
import type { SessionStore } from "@effect-tenovos/core/SessionStore"
import * as SessionStoreFile from "@effect-tenovos/core/SessionStoreFile"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodePath from "@effect/platform-node/NodePath"
import * as Config from "effect/Config"
import * as Digest from "effect/crypto/Digest"
import * as Effect from "effect/Effect"
import * as Hex from "effect/encoding/Hex"
import type * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as References from "effect/References"
import { hostname } from "node:os"
import { type CommandError, usage } from "./CommandError.ts"
import * as Configuration from "./Configuration.ts"

/**
 * Who a command acts for: what the flags, the environment and the configuration say of one profile, in this order.
 *
 * @category models
 * @since 0.1.0
 */
export interface Account {
  readonly profile: string
  readonly endpointUrl: string
  readonly username: Option.Option<string>
  readonly apiKey: Option.Option<Redacted.Redacted>
  /** From the environment, and nowhere else. */
  readonly password: Option.Option<Redacted.Redacted>
}

const text = (name: string) => Config.map(Config.option(Config.String(name)), Option.filter((value) => value !== ""))

const secret = (name: string) =>
  Config.map(Config.option(Config.Redacted(name)), Option.filter((value) => Redacted.value(value) !== ""))

const environment = Config.all({
  profile: text("TENOVOS_PROFILE"),
  endpointUrl: text("TENOVOS_ENDPOINT_URL"),
  username: text("TENOVOS_USERNAME"),
  apiKey: secret("TENOVOS_API_KEY"),
  password: secret("TENOVOS_PASSWORD")
})

/**
 * The account of a profile: of the one that is given, of that in `TENOVOS_PROFILE`, or of `default`; at the endpoint that is
 * given, in `TENOVOS_ENDPOINT_URL`, or remembered.
 *
 * @category constructors
 * @since 0.1.0
 */
export const find = Effect.fnUntraced(function*(
  given: Option.Option<string>,
  endpoint: Option.Option<string> = Option.none()
): Effect.fn.Return<Account, CommandError, FileSystem.FileSystem> {
  const { profile, ...variables } = yield* Effect.orDie(environment)
  const name = Option.getOrElse(Option.orElse(given, () => profile), () => "default")
  if (!/^[A-Za-z0-9._-]{1,64}$/.test(name)) {
    return yield* usage("A profile's name has up to 64 letters, digits, dots, hyphens and underscores.")
  }
  const remembered = yield* Configuration.read(name)
  const known = remembered.endpointUrl ?? Credentials.productionUrl
  const endpointUrl = Option.getOrElse(Option.orElse(endpoint, () => variables.endpointUrl), () => known)
  return {
    profile: name,
    endpointUrl,
    username: Option.orElse(variables.username, () => Option.fromNullishOr(remembered.username)),
    // It was given for one endpoint, and is not sent to another.
    apiKey: Option.orElse(
      variables.apiKey,
      () => trimmed(endpointUrl) === trimmed(known) ? Option.fromNullishOr(remembered.apiKey) : Option.none()
    ),
    password: variables.password
  }
})

const trimmed = (endpointUrl: string): string => endpointUrl.replace(/\/+$/, "")

/**
 * The name of an account's session among those in the folder. Another user, or another endpoint, has another session: the
 * headers of one are never sent for the other.
 *
 * @category combinators
 * @since 0.1.0
 */
export const nameOf = ({ endpointUrl, profile, username }: Account): Effect.Effect<string> => {
  const account = JSON.stringify([trimmed(endpointUrl), Option.getOrNull(username)])
  return Digest.Digest.use((digest) => digest.digest(Digest.sha256, new TextEncoder().encode(account))).pipe(
    Effect.map((hash) => `${profile}.${Hex.encode(hash.slice(0, 6))}`),
    Effect.provide(Digest.layerWebCrypto),
    // It knows the algorithm.
    Effect.orDie
  )
}

/**
 * Where an account's session is kept, and whether it is encrypted there.
 *
 * @category models
 * @since 0.1.0
 */
export interface Place {
  readonly folder: string
  readonly name: string
  readonly encrypted: boolean
  readonly store: Layer.Layer<SessionStore>
}

/**
 * Where the session of an account is kept, under a name of its own. Fails where a key to encrypt it with is
 * malformed.
 *
 * @category combinators
 * @since 0.1.0
 */
export const placeOf = Effect.fnUntraced(function*(account: Account): Effect.fn.Return<Place, CommandError> {
  const folder = yield* Configuration.sessions
  const name = yield* nameOf(account)
  const keys = yield* SessionEncryption.Keys.pipe(
    Effect.provide(SessionEncryption.layerConfig),
    Effect.mapError(() =>
      usage(
        "TENOVOS_STORE_KEY is not 32 bytes in base64, or TENOVOS_STORE_KEY_PREVIOUS is not. Make one with `openssl rand -base64 32`."
      )
    )
  )
  const store = SessionStoreFile.layer({ folder, name, owner: `${hostname()} ${process.pid}` }).pipe(
    Layer.provide([
      NodeFileSystem.layer,
      NodePath.layer,
      Layer.succeed(SessionEncryption.Keys, keys),
      // That there is no key is told at the login, and not each time.
      ...(keys.length === 0 ? [Layer.succeed(References.MinimumLogLevel, "Error" as const)] : [])
    ])
  )
  return { folder, name, encrypted: keys.length > 0, store }
})
