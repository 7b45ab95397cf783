/**
 * `tenovos doctor`: looks for what keeps the other commands from working, and says what to do.
 *
 * @since 0.1.0
 */
import { SessionStore } from "@effect-tenovos/core/SessionStore"
import * as TenovosClient from "@effect-tenovos/core/TenovosClient"
import * as Command from "effect/cli/Command"
import * as Console from "effect/Console"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { join } from "node:path"
import * as Account from "./Account.ts"
import { type CommandError, exitCodes, fromAuthError, type Kind } from "./CommandError.ts"
import * as Configuration from "./Configuration.ts"
import * as auth from "./internal/auth.ts"
import * as flags from "./internal/flags.ts"
import * as report from "./internal/report.ts"
import { exitWith, progress } from "./internal/terminal.ts"

interface Check {
  readonly name: string
  readonly state: "ok" | "warn" | "fail"
  readonly message: string
  /** What to do. */
  readonly advice?: string
  /** What the command ends with where this fails first. */
  readonly kind?: Kind
}

/**
 * The command, with `--json` and `--profile`.
 *
 * @category commands
 * @since 0.1.0
 */
export const command = Command.make(
  "doctor",
  { json: flags.json("what was found"), profile: flags.profile },
  ({ json, profile }) =>
    Effect.gen(function*() {
      const account = yield* Account.find(profile)
      const place = yield* Account.placeOf(account)
      yield* progress("Looking …")
      const checks = [
        yield* configuration(account),
        ...yield* authority(account),
        yield* permissions(place),
        yield* lock(place),
        encryption(place),
        ...yield* session(account, place)
      ]
      const failed = checks.find(({ state }) => state === "fail")
      if (json) {
        yield* Console.log(JSON.stringify({
          profile: account.profile,
          checks: checks.map(({ advice, message, name, state }) => ({ name, state, message, advice: advice ?? null }))
        }))
      } else {
        yield* Effect.forEach(checks, ({ advice, message, name, state }) =>
          Console.log(`${state.padEnd(5)} ${name}: ${message}${advice === undefined ? "" : `. ${advice}`}`))
      }
      if (failed !== undefined) {
        yield* exitWith(exitCodes[failed.kind ?? "refused"])
      }
    })
).pipe(
  Command.withDescription(
    "Check the configuration, the endpoint, the API key, the clock, the store, its lock and its encryption, and make a real " +
      "request. Each line says ok, warn or fail, and what to do. Nobody's password is sent."
  ),
  Command.withExamples([{ command: "tenovos doctor --profile uat", description: "Look why an account does not work" }])
)

const configuration = Effect.fnUntraced(function*(
  account: Account.Account
): Effect.fn.Return<Check, CommandError, FileSystem.FileSystem> {
  const file = yield* Configuration.path
  const name = "configuration"
  const who = `${Option.getOrElse(account.username, () => "nobody")} at ${account.endpointUrl}`
  const mode = yield* modeOf(file)
  if (Option.isNone(mode)) return { name, state: "ok", message: `${who}, from the environment; there is no ${file}` }
  return isOpen(mode.value)
    ? { name, state: "warn", message: `${file} is open to others`, advice: `Run \`chmod 600 ${file}\`` }
    : { name, state: "ok", message: `${who}, by the environment and ${file}` }
})

const modeOf = (path: string) =>
  FileSystem.FileSystem.use((files) => files.stat(path)).pipe(Effect.map(({ mode }) => mode), Effect.option)

const isOpen = (mode: number): boolean => process.platform !== "win32" && (mode & 0o077) !== 0

/** One request tells about three: it has no user in it, so it is no sign-in that fails. */
const authority = Effect.fnUntraced(function*(account: Account.Account): Effect.fn.Return<ReadonlyArray<Check>> {
  if (Option.isNone(account.apiKey)) {
    const advice = "Set TENOVOS_API_KEY, or run `tenovos login`"
    return [{ name: "API key", state: "fail", message: "there is none", advice, kind: "usage" }]
  }
  const credentials = { ...account, username: "", password: Redacted.make(""), apiKey: account.apiKey.value }
  const defect = yield* Effect.flip(auth.check(credentials)).pipe(Effect.option)
  if (Option.isSome(defect)) return [{ name: "endpoint", state: "fail", message: defect.value.message, kind: "usage" }]

  const request = HttpClientRequest.post(`${account.endpointUrl.replace(/\/+$/, "")}/auth/token`).pipe(
    HttpClientRequest.setHeader("x-api-key", Redacted.value(account.apiKey.value)),
    HttpClientRequest.bodyJsonUnsafe({})
  )
  const sentAt = yield* DateTime.now
  const answer = yield* HttpClient.execute(request).pipe(
    Effect.timeout("10 seconds"),
    Effect.provideService(HttpClient.TracerPropagationEnabled, false),
    Effect.provideService(FetchHttpClient.RequestInit, { redirect: "manual" }),
    Effect.provide(FetchHttpClient.layer),
    Effect.option
  )
  if (Option.isNone(answer)) {
    return [{
      name: "endpoint",
      state: "fail",
      message: `${account.endpointUrl} does not answer`,
      advice: "Check TENOVOS_ENDPOINT_URL, the network, and the proxy",
      kind: "unreachable"
    }]
  }
  const receivedAt = yield* DateTime.now
  return [
    ...judge(account, answer.value.status),
    clock(answer.value, (sentAt.epochMilliseconds + receivedAt.epochMilliseconds) / 2)
  ]
})

const judge = ({ endpointUrl }: Account.Account, status: number): ReadonlyArray<Check> => {
  const endpoint: Check = { name: "endpoint", state: "ok", message: `${endpointUrl} answers` }
  switch (status) {
    case 400:
    case 401:
      return [endpoint, { name: "API key", state: "ok", message: "accepted" }]
    case 403:
      return [endpoint, {
        name: "API key",
        state: "fail",
        message: "refused",
        advice: "Check that it belongs to this endpoint",
        kind: "refused"
      }]
    case 429:
      return [endpoint, { name: "API key", state: "warn", message: "used too much", advice: "Wait for a while" }]
    default:
      return [{
        name: "endpoint",
        state: "fail",
        message: `${endpointUrl} answers with status ${status}`,
        advice: "Check TENOVOS_ENDPOINT_URL, or try again later",
        kind: "unreachable"
      }]
  }
}

const clock = ({ headers }: HttpClientResponse.HttpClientResponse, local: number): Check => {
  const name = "clock"
  const date = Option.getOrUndefined(DateTime.make(headers["date"] ?? ""))
  if (date === undefined) return { name, state: "warn", message: "the endpoint does not tell the time" }
  // The header has whole seconds.
  const seconds = Math.round((local - date.epochMilliseconds - 500) / 1000)
  const message = `${Math.abs(seconds)} s ${seconds < 0 ? "behind" : "ahead of"} the endpoint`
  return Math.abs(seconds) <= 30
    ? { name, state: "ok", message }
    : { name, state: "warn", message, advice: "Sessions allow for it; set this machine's clock all the same" }
}

const permissions = Effect.fnUntraced(function*(
  { folder, name }: Account.Place
): Effect.fn.Return<Check, never, FileSystem.FileSystem> {
  const files = yield* FileSystem.FileSystem
  const mode = yield* modeOf(folder)
  if (Option.isNone(mode)) return { name: "store", state: "ok", message: `${folder} is made when it is needed` }
  const own = (yield* files.readDirectory(folder).pipe(Effect.orElseSucceed(() => [])))
    .filter((file) => file.startsWith(`${name}.`))
  const modes = yield* Effect.forEach(own, (file) => modeOf(join(folder, file)))
  return [mode, ...modes].some(Option.exists(isOpen))
    ? {
      name: "store",
      state: "warn",
      message: `${folder} is open to others`,
      advice: "It is closed when it is next used"
    }
    : { name: "store", state: "ok", message: `${folder} is closed to others` }
})

const lock = ({ store }: Account.Place): Effect.Effect<Check> =>
  SessionStore.use(({ lease }) => lease).pipe(
    Effect.scoped,
    Effect.provide(store),
    Effect.map((lease): Check =>
      Option.isSome(lease)
        ? { name: "lock", state: "ok", message: "free, and the store can be written" }
        : {
          name: "lock",
          state: "warn",
          message: "held by another process",
          advice: "Look again in half a minute: one whose process is gone ends by itself"
        }
    ),
    Effect.catch((error) =>
      Effect.succeed<Check>({ name: "lock", state: "fail", message: fromAuthError(error).message })
    )
  )

const encryption = ({ encrypted }: Account.Place): Check =>
  encrypted
    ? { name: "encryption", state: "ok", message: "with the key in TENOVOS_STORE_KEY" }
    : {
      name: "encryption",
      state: "warn",
      message: "the session is kept in plain text",
      advice: "Set TENOVOS_STORE_KEY to what `openssl rand -base64 32` prints, and log in again"
    }

const session = Effect.fnUntraced(function*(
  account: Account.Account,
  place: Account.Place
): Effect.fn.Return<ReadonlyArray<Check>> {
  const name = "session"
  const stored = yield* SessionStore.use(({ read }) => read).pipe(Effect.provide(place.store), Effect.result)
  if (stored._tag === "Failure") return [{ name, state: "fail", message: fromAuthError(stored.failure).message }]
  const { unreadable } = stored.success
  if (unreadable !== undefined) {
    const { message } = fromAuthError(unreadable)
    return [{ name, state: "fail", message, advice: "Run `tenovos login`", kind: "noSession" }]
  }
  const told = report.make(account, place, stored.success, yield* DateTime.now)
  if (told.session === "none" || told.session === "over") {
    return Option.isSome(account.username) && Option.isSome(account.password)
      ? [{ name, state: "ok", message: `${told.session}: the next command signs in as the environment says` }]
      : [{ name, state: "fail", message: told.session, advice: "Run `tenovos login`", kind: "noSession" }]
  }
  return [{ name, state: "ok", message: told.session }, yield* roundTrip({ ...account, password: Option.none() })]
})

const roundTrip = (account: Account.Account): Effect.Effect<Check> =>
  TenovosClient.TenovosClient.use((client) => client.get("/security/template")).pipe(
    Effect.map(({ status }): Check =>
      status < 400
        ? { name: "request", state: "ok", message: "GET /security/template is answered" }
        : {
          name: "request",
          state: "fail",
          message: `GET /security/template is answered with status ${status}`,
          advice: status === 401 ? "Run `tenovos login`" : "Check what this user may do"
        }
    ),
    Effect.provide(TenovosClient.layer),
    Effect.provide([auth.layer(account), FetchHttpClient.layer]),
    Effect.catch((error) => {
      const failure = error._tag === "AuthError" ? fromAuthError(error) : error
      return Effect.succeed<Check>({
        name: "request",
        state: "fail",
        message: failure._tag === "CommandError" ? failure.message : "there is no answer to GET /security/template",
        kind: failure._tag === "CommandError" ? failure.kind : "unreachable"
      })
    })
  )
