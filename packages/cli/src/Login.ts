/**
 * `tenovos login`: signs in, and keeps the session for the other commands.
 *
 * @since 0.1.0
 */
import type { AuthError } from "@effect-tenovos/core/AuthError"
import type * as Credentials from "@effect-tenovos/core/Credentials"
import { Session } from "@effect-tenovos/core/Session"
import { SessionStore } from "@effect-tenovos/core/SessionStore"
import * as TokenEndpoint from "@effect-tenovos/core/TokenEndpoint"
import * as Command from "effect/cli/Command"
import * as Prompt from "effect/cli/Prompt"
import * as Console from "effect/Console"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import { text } from "node:stream/consumers"
import * as Account from "./Account.ts"
import { CommandError, fromAuthError, usage } from "./CommandError.ts"
import * as Configuration from "./Configuration.ts"
import * as auth from "./internal/auth.ts"
import * as flags from "./internal/flags.ts"
import * as report from "./internal/report.ts"
import { isInteractive, progress } from "./internal/terminal.ts"

/**
 * The command, with its flags.
 *
 * @category commands
 * @since 0.1.0
 */
export const command = Command.make(
  "login",
  {
    endpointUrl: flags.text(
      "endpoint-url",
      "URL",
      "Base URL of the API. Defaults to TENOVOS_ENDPOINT_URL, to that of the last login, or to production."
    ),
    username: flags.text("username", "NAME", "Who signs in. Defaults to TENOVOS_USERNAME, or to who did last."),
    passwordStdin: flags.onOff("password-stdin", "Read the password from standard input."),
    json: flags.json("how it stands then, as status does,"),
    profile: flags.profile
  },
  ({ endpointUrl, json, passwordStdin, profile, username }) =>
    Effect.gen(function*() {
      const known = yield* Account.find(profile, endpointUrl)
      const credentials = yield* complete({
        ...known,
        username: Option.orElse(username, () => known.username),
        password: passwordStdin ? Option.some(yield* readPassword) : known.password
      })
      yield* auth.check(credentials)
      const account: Account.Account = { ...known, username: Option.some(credentials.username) }
      const place = yield* Account.placeOf(account)

      yield* progress(`Signing in at ${credentials.endpointUrl} …`)
      const session = yield* signIn(credentials).pipe(
        Effect.provide([TokenEndpoint.layer({ apiKey: credentials.apiKey }), place.store]),
        Effect.provide(FetchHttpClient.layer),
        Effect.catchTag("AuthError", (error) => Effect.fail(fromAuthError(error)))
      )
      yield* Configuration.write(account.profile, {
        endpointUrl: account.endpointUrl,
        username: credentials.username,
        ...(yield* isOwn(known, credentials.apiKey)) && { apiKey: credentials.apiKey }
      })
      const told = report.make(account, place, { session: Option.some(session) }, yield* DateTime.now)
      yield* Console.log(json ? JSON.stringify(told) : `${report.toText(told)}`)
      if (!place.encrypted) {
        yield* Console.error(
          "tenovos: The session is kept in plain text. With a key in TENOVOS_STORE_KEY (`openssl rand -base64 32`) it is encrypted."
        )
      }
    })
).pipe(
  Command.withDescription(
    "Sign in, and keep the session for the other commands. Asks for what is missing; without a terminal, it comes from " +
      "TENOVOS_API_KEY, TENOVOS_USERNAME and TENOVOS_PASSWORD, or the password from standard input. No secret is an argument."
  ),
  Command.withExamples([
    { command: "tenovos login", description: "Ask for the API key, the user name and the password" },
    {
      command: "tenovos login --profile uat --endpoint-url https://api.uat.tenovos.io/v1",
      description: "Another account"
    },
    { command: "pass tenovos | tenovos login --username ada --password-stdin", description: "With a password manager" }
  ])
)

/** Whether the key was typed in, now or before. One that the environment gives is its own affair. */
const isOwn = ({ apiKey, profile }: Account.Account, used: Redacted.Redacted) =>
  Effect.map(
    Configuration.read(profile),
    (remembered) => Option.isNone(apiKey) || remembered.apiKey !== undefined && Equal.equals(remembered.apiKey, used)
  )

/** What comes from a pipe has a line end that is no part of the password. */
const readPassword = Effect.promise(() => text(process.stdin)).pipe(
  Effect.map((line) => line.replace(/\r?\n$/, "")),
  Effect.filterOrFail((line) => line !== "", () => usage("There is no password on standard input.")),
  Effect.map((line) => Redacted.make(line))
)

/** Asks for what is missing, where there is somebody to ask. */
const complete = Effect.fnUntraced(function*(account: Account.Account) {
  const missing = [
    ...(Option.isNone(account.apiKey) ? ["TENOVOS_API_KEY"] : []),
    ...(Option.isNone(account.username) ? ["TENOVOS_USERNAME (or --username)"] : []),
    ...(Option.isNone(account.password) ? ["TENOVOS_PASSWORD (or --password-stdin)"] : [])
  ]
  if (missing.length > 0 && !(yield* isInteractive)) {
    return yield* usage(`There is no terminal to ask at, and this is missing: ${missing.join(", ")}.`)
  }
  const required = (value: string) => value === "" ? Effect.fail("It can't be empty") : Effect.succeed(value)
  const hidden = (message: string) => Prompt.run(Prompt.Hidden({ message, validate: required }))
  return {
    endpointUrl: account.endpointUrl,
    apiKey: Option.isSome(account.apiKey) ? account.apiKey.value : yield* hidden("API key"),
    username: Option.isSome(account.username)
      ? account.username.value
      : yield* Prompt.run(Prompt.String({ message: "User name", validate: required })),
    password: Option.isSome(account.password)
      ? account.password.value
      : yield* hidden(`Password of ${Option.getOrElse(account.username, () => "this user")}`)
  }
})

/** Under the lease: it proves that the session can be stored before the password is sent. */
const signIn = (credentials: Credentials.Credentials) =>
  Effect.gen(function*(): Effect.fn.Return<
    Session,
    AuthError | CommandError,
    SessionStore | TokenEndpoint.TokenEndpoint | Scope.Scope
  > {
    const store = yield* SessionStore
    const lease = yield* store.lease.pipe(
      Effect.repeat({ until: Option.isSome, schedule: Schedule.spaced("200 millis"), times: 150 })
    )
    if (Option.isNone(lease)) {
      return yield* new CommandError({
        kind: "refused",
        message: "Another process has been exchanging with the authority for half a minute. Run `tenovos doctor`."
      })
    }
    return yield* Effect.uninterruptibleMask(Effect.fnUntraced(function*(restore) {
      const signedIn = yield* restore(TokenEndpoint.TokenEndpoint.use(({ authorize }) => authorize(credentials)))
      const { generation } = yield* store.read
      const session = new Session({ ...signedIn, generation: generation + 1 })
      if (yield* store.commit(session, generation, lease.value)) return session
      return yield* new CommandError({
        kind: "refused",
        message: "Another process has changed the session meanwhile. Run `tenovos login` again."
      })
    }))
  }).pipe(Effect.scoped)
