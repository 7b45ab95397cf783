/**
 * The file that remembers, for each profile, where and as whom it signs in.
 *
 * It is `tenovos/config.json` in the platform's folder for settings, and only its user can read it: it also has the API key
 * where that was typed in. What the environment says goes before it.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as UserDirectories from "effect/persistence/UserDirectories"
import type * as PlatformError from "effect/PlatformError"
import * as Schema from "effect/Schema"
import { dirname, join } from "node:path"
import { CommandError, usage } from "./CommandError.ts"

/**
 * What is remembered of an account, by its last login.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Profile = Schema.Struct({
  endpointUrl: Schema.optionalKey(Schema.String),
  username: Schema.optionalKey(Schema.String),
  apiKey: Schema.optionalKey(Schema.RedactedFromValue(Schema.NonEmptyString))
})

/**
 * @category models
 * @since 0.1.0
 */
export type Profile = typeof Profile.Type

const Configuration = Schema.fromJsonString(Schema.Struct({ profiles: Schema.Record(Schema.String, Profile) }))

/**
 * The file's path. Fails where the platform has no folder for settings.
 *
 * @category constructors
 * @since 0.1.0
 */
export const path: Effect.Effect<string, CommandError> = folderOf("config").pipe(
  Effect.map((folder) => join(folder, "config.json"))
)

/**
 * The folder of the sessions.
 *
 * @category constructors
 * @since 0.1.0
 */
export const sessions: Effect.Effect<string, CommandError> = folderOf("state").pipe(
  Effect.map((folder) => join(folder, "sessions"))
)

function folderOf(kind: "config" | "state"): Effect.Effect<string, CommandError> {
  return UserDirectories.make()[kind]("tenovos").pipe(
    Effect.mapError(({ message }) => usage(`There is no home folder to keep anything in: ${message}. Set HOME.`))
  )
}

const readAll = Effect.gen(function*() {
  const file = yield* path
  const files = yield* FileSystem.FileSystem
  const text = yield* files.readFileString(file).pipe(
    Effect.catchIf(({ reason }) => reason._tag === "NotFound", () => Effect.succeed("{\"profiles\":{}}")),
    Effect.mapError((error) => unusable("read", file, error))
  )
  return yield* Schema.decodeEffect(Configuration)(text).pipe(
    // What is wrong in it is not told: it may be next to the key.
    Effect.mapError(() =>
      usage(`The configuration file ${file} is damaged. Correct it, or remove it and log in again.`)
    )
  )
})

/**
 * What is remembered of a profile.
 *
 * @category combinators
 * @since 0.1.0
 */
export const read = (profile: string): Effect.Effect<Profile, CommandError, FileSystem.FileSystem> =>
  Effect.map(readAll, ({ profiles }) => profiles[profile] ?? {})

/**
 * Remembers a profile, in one atomic write.
 *
 * @category combinators
 * @since 0.1.0
 */
export const write = Effect.fnUntraced(function*(
  name: string,
  profile: Profile
): Effect.fn.Return<void, CommandError, FileSystem.FileSystem> {
  const file = yield* path
  const { profiles } = yield* readAll
  const text = yield* Effect.orDie(Schema.encodeEffect(Configuration)({ profiles: { ...profiles, [name]: profile } }))
  const files = yield* FileSystem.FileSystem
  yield* Effect.gen(function*() {
    yield* files.makeDirectory(dirname(file), { recursive: true, mode: 0o700 })
    const folder = yield* files.makeTempDirectoryScoped({ directory: dirname(file), prefix: ".config-" })
    const temporary = join(folder, "config.json")
    yield* files.writeFileString(temporary, `${text}\n`, { mode: 0o600 })
    yield* files.rename(temporary, file)
  }).pipe(
    Effect.scoped,
    Effect.mapError((error) => unusable("write", file, error))
  )
})

const unusable = (what: "read" | "write", file: string, { reason }: PlatformError.PlatformError): CommandError =>
  new CommandError({
    kind: "refused",
    message: `Can't ${what} the configuration file ${file}: ${reason._tag}. Check the folder's rights and its disk.`
  })
