/** Servers that issue tokens, each in a process of its own: the authority, its floor, and others. */
import * as argon2 from "@node-rs/argon2"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { fileURLToPath } from "node:url"
import { bundle, compile } from "./compile.ts"
import { wall } from "./figure.ts"
import { type Call, load, send } from "./load.ts"
import * as serverProcess from "./serverProcess.ts"

type Started = Effect.Effect<serverProcess.ServerProcess, never, Scope.Scope>

/** A folder of this run, gone with the scope. */
export const folder: Effect.Effect<string, never, Scope.Scope> = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "tenovos-bench-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
)

// -----------------------------------------------------------------------------
// The authority and its floor
// -----------------------------------------------------------------------------

export const apiKey = "bench-key"
export const password = "correct horse battery staple"

/** Whose password is hashed as the authority hashes, and whose for next to nothing. */
export type User = "dear" | "cheap"

export interface Pair {
  /** Starts the authority, as its command does, on a database that exists. */
  readonly authority: Started
  /** The same, which lets a hash be cheap: the command's makes it a dear one when its user signs in. */
  readonly cheapAuthority: Started
  readonly authorityDatabase: string
  /** Starts the floor, likewise. */
  readonly floor: Started
}

const program = fileURLToPath(new URL("../../cli/bundle/bin.js", import.meta.url))

/** Starts the authority on a database: a file, or a URL. */
export const authority = (database: string, args: ReadonlyArray<string> = []): Started =>
  serverProcess.make({
    program,
    args: ["serve", "--port", "0", "--database", database, ...args]
  })

/** Arguments that let a new database know both users. */
export const seeded = (path: string): ReadonlyArray<string> => {
  const users = [{ username: "dear", password }, { username: "cheap", password }]
  const file = join(path, "seed.json")
  writeFileSync(file, JSON.stringify({ apiKeys: [apiKey], users }))
  return ["--seed", file]
}

/** Compiles both, bundles the command as it is published, and makes their databases. */
export const pair = Effect.fnUntraced(function*(path: string): Effect.fn.Return<Pair> {
  for (const folder of ["../../cli", ".."]) yield* compile(fileURLToPath(new URL(folder, import.meta.url)))
  yield* bundle

  const authorityDatabase = join(path, "authority.sqlite")
  yield* Effect.scoped(authority(authorityDatabase, seeded(path)))
  const hashes = yield* Effect.promise(async () => ({
    dear: await argon2.hash(password, { memoryCost: 19 * 1024, timeCost: 2, parallelism: 1 }),
    cheap: await argon2.hash(password, { memoryCost: 8, timeCost: 1, parallelism: 1 })
  }))
  const database = new DatabaseSync(authorityDatabase)
  database.prepare("UPDATE users SET password_hash = ? WHERE username = ?").run(hashes.cheap, "cheap")
  database.close()

  const floor = serverProcess.make({
    program: serverProcess.beside("floor"),
    args: [join(path, "floor.sqlite"), JSON.stringify(hashes)]
  })
  yield* Effect.scoped(floor)
  const cheapAuthority = serverProcess.make({
    program: serverProcess.beside("cheapAuthority"),
    args: [authorityDatabase],
    imports: [serverProcess.beside("compiled")]
  })
  return { authority: authority(authorityDatabase), cheapAuthority, authorityDatabase, floor }
})

export const signIn = ({ origin }: serverProcess.ServerProcess, username: User): Call => ({
  url: `${origin}/v1/auth/token`,
  headers: { "content-type": "application/json", "x-api-key": apiKey },
  body: JSON.stringify({ username, password })
})

/** Begins so many sessions, and gives the call that refreshes each. */
export const refreshes = Effect.fnUntraced(function*(server: serverProcess.ServerProcess, sessions: number) {
  const call = signIn(server, "cheap")
  return yield* Effect.forEach(
    Array.from({ length: sessions }),
    () => Effect.map(Effect.promise(() => send(call)), (body): Call => ({ ...call, body })),
    { concurrency: 16 }
  )
})

/**
 * Has a server answer until V8 has compiled most of what that takes. The compiler works in threads of its own, and their
 * CPU would be counted as the calls'.
 */
export const warmUp = (calls: ReadonlyArray<Call>): Effect.Effect<void> =>
  Effect.asVoid(Effect.promise(() => load(calls, { connections: 16, times: 20_000 })))

/** Milliseconds of CPU that a server takes for one call, of so many over 16 connections. */
export const cpuOf = Effect.fnUntraced(
  function*({ usage }: serverProcess.ServerProcess, calls: ReadonlyArray<Call>, times: number) {
    const before = yield* usage
    yield* Effect.promise(() => load(calls, { connections: 16, times }))
    const after = yield* usage
    return (after.cpu - before.cpu) / times
  }
)

/** How many calls are answered in a second, of so many over 16 connections. */
export const rateOf = (calls: ReadonlyArray<Call>, times: number): Effect.Effect<number> =>
  Effect.map(wall(Effect.promise(() => load(calls, { connections: 16, times }))), (millis) => times / millis * 1000)

// -----------------------------------------------------------------------------
// Others
// -----------------------------------------------------------------------------

/** A server, and the call that refreshes a session of it. */
export interface Peer {
  readonly server: serverProcess.ServerProcess
  readonly refresh: Call
}

const form = { "content-type": "application/x-www-form-urlencoded" }

export const oidcProvider: Effect.Effect<Peer, never, Scope.Scope> = Effect.gen(function*() {
  const refreshToken = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"
  const server = yield* serverProcess.make({ program: serverProcess.beside("oidcProvider"), args: [refreshToken] })
  const body = `grant_type=refresh_token&refresh_token=${refreshToken}&client_id=client&client_secret=secret`
  return { server, refresh: { url: `${server.origin}/token`, headers: form, body } }
})

export const oauth2MockServer: Effect.Effect<Peer, never, Scope.Scope> = Effect.gen(function*() {
  const server = yield* serverProcess.make({ program: serverProcess.beside("oauth2MockServer") })
  const body = "grant_type=refresh_token&refresh_token=any&client_id=client&scope=openid"
  return { server, refresh: { url: `${server.origin}/token`, headers: form, body } }
})

/** Its own command. It keeps its data in JSON files of the folder that it runs in. */
export const cognitoLocal: Effect.Effect<Peer, never, Scope.Scope> = Effect.gen(function*() {
  const cwd = yield* folder
  mkdirSync(join(cwd, ".cognito"))
  const config = { ServerConfig: { hostname: "127.0.0.1", port: 0 } }
  writeFileSync(join(cwd, ".cognito", "config.json"), JSON.stringify(config))
  const server = yield* serverProcess.make({
    program: fileURLToPath(import.meta.resolve("cognito-local/lib/bin/start.js")),
    cwd
  })

  const call = (operation: string, body: object): Call => ({
    url: `${server.origin}/`,
    headers: {
      "content-type": "application/x-amz-json-1.1",
      "x-amz-target": `AWSCognitoIdentityProviderService.${operation}`
    },
    body: JSON.stringify(body)
  })
  const run = (operation: string, body: object) =>
    Effect.promise(async () => JSON.parse(await send(call(operation, body)) || "{}"))

  const { UserPool: { Id: UserPoolId } } = yield* run("CreateUserPool", { PoolName: "bench" })
  const { UserPoolClient: { ClientId } } = yield* run("CreateUserPoolClient", { UserPoolId, ClientName: "bench" })
  const user = { UserPoolId, Username: "ada@example.com" }
  yield* run("AdminCreateUser", {
    ...user,
    UserAttributes: [{ Name: "email", Value: user.Username }],
    MessageAction: "SUPPRESS"
  })
  yield* run("AdminSetUserPassword", { ...user, Password: password, Permanent: true })
  const { AuthenticationResult } = yield* run("InitiateAuth", {
    ClientId,
    AuthFlow: "USER_PASSWORD_AUTH",
    AuthParameters: { USERNAME: user.Username, PASSWORD: password }
  })
  const refresh = call("InitiateAuth", {
    ClientId,
    AuthFlow: "REFRESH_TOKEN_AUTH",
    AuthParameters: { REFRESH_TOKEN: AuthenticationResult.RefreshToken }
  })
  return { server, refresh }
})
